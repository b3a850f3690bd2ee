"""A target's own process, for a target in Python. Run by its path, in any environment with Python 3.9 and NumPy.

It makes this project's modules importable, and nothing that lies beside them, and then plays (worker.py). What is
written here any Python can read, so that one that is too old can say so.
"""

import sys

OLDEST = (3, 9)


def _refuse(reason):
    import json

    sys.stdin.readline()
    print(json.dumps({"ok": False, "error": "%s: %s" % (sys.executable, reason)}))  # noqa: UP031
    sys.exit()


def _import_path():
    """(the folder from which our modules are imported, what they begin with): in a checkout, nothing; installed, our
    package's name and a dot."""
    import os

    here = os.path.dirname(os.path.abspath(__file__))
    if sys.path and os.path.abspath(sys.path[0]) == here:
        del sys.path[0]  # Python puts a script's folder there
    root = os.path.dirname(os.path.dirname(here))
    if os.path.exists(os.path.join(root, "__init__.py")):
        return os.path.dirname(root), os.path.basename(root) + "."
    return root, ""


FOLDER, PREFIX = _import_path()
if sys.version_info < OLDEST:
    _refuse("it is Python %d.%d; a player needs 3.9 or newer" % sys.version_info[:2])  # noqa: UP031

import gc  # noqa: E402

gc.disable()  # what an import makes stays: to look through it for garbage is a seventh of JAX's; worker.py ends it

import importlib  # noqa: E402
from importlib.machinery import PathFinder  # noqa: E402


class OurModules:
    """Finds our packages in their folder, whatever else lies in it."""

    names = (PREFIX[:-1],) if PREFIX else ("harness", "impls", "reference", "reports")

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return PathFinder.find_spec(name, [FOLDER], target) if path is None and name in cls.names else None


sys.meta_path.insert(0, OurModules)


def main():
    try:
        import numpy  # noqa: F401
    except ImportError as error:
        _refuse("NumPy is missing there (%s): pip install numpy" % error)  # noqa: UP031
    importlib.import_module(PREFIX + "harness.targets.worker").main()


if __name__ == "__main__":
    main()
