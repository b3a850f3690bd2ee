"""The structure holds: no module needs one that needs it, and the project speaks of itself alone."""

import ast
import re
import tokenize
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FSTRING_MIDDLE = getattr(tokenize, "FSTRING_MIDDLE", None)  # from Python 3.12 on an f-string is several tokens
FOLDERS = ("harness", "impls", "reference", "reports", "tests")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}
OTHER_PAPERS = re.compile(r"DESIGN\.md|\bSEED\b|\b[Tt]he issue\b|" + re.escape(str(ROOT)))
"""Papers that a reader of the project does not have, and the folder that this checkout happens to lie in."""


def imports_of(module, path):
    """The modules of ours that a module imports, at its top or later."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: write the whole name of what is imported"
            named = [
                submodule if (submodule := f"{node.module}.{alias.name}") in MODULES else node.module
                for alias in node.names
            ]
        else:
            continue
        yield from (name for name in named if name in MODULES and name != module)


def cycle_of(imports):
    """Modules that import each other in a circle, the first one again at the end; empty where there is none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_module_imports_one_that_imports_it():
    """Imports inside functions included: a late import hides a cycle, it does not mend it."""
    assert cycle_of({module: set(imports_of(module, path)) for module, path in MODULES.items()}) == []


def test_a_cycle_is_seen_also_where_an_import_is_late(tmp_path, monkeypatch):
    (tmp_path / "a.py").write_text("from b import f\n")
    (tmp_path / "b.py").write_text("def f():\n    import a\n")
    monkeypatch.setattr(f"{__name__}.MODULES", {name: tmp_path / f"{name}.py" for name in ("a", "b")})
    imports = {name: set(imports_of(name, path)) for name, path in MODULES.items()}
    assert set(cycle_of(imports)) == {"a", "b"}


def classes_by_name(paths):
    """Name -> the files of the public classes that bear it."""
    names = {}
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                names.setdefault(node.name, []).append(path.name)
    return names


def test_a_name_of_a_class_means_one_thing():
    """Implementations are left out: what is one in several frameworks has one name on purpose."""
    rooms = [path for path in FILES if path.relative_to(ROOT).parts[0] in ("harness", "reference", "reports")]
    names = classes_by_name(path for path in rooms if not {"published", "out"} & {*path.parts})  # scripts of findings
    assert len(names) > 400
    assert {name: files for name, files in names.items() if len(files) > 1} == {}


def prose_of(path):
    """(line, text) of every comment and every string but those inside braces: docstrings, messages, help."""
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type in (tokenize.COMMENT, tokenize.STRING) or token.type == FSTRING_MIDDLE:
                yield token.start[0], re.sub(r"\{[^{}]*\}", "", token.string)


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_module_speaks_of_papers_that_the_reader_does_not_have(folder):
    files = [path for path in FILES if path.is_relative_to(ROOT / folder) and path != Path(__file__)]
    texts = [(path.relative_to(ROOT), line, text) for path in files for line, text in prose_of(path)]
    assert texts
    assert [(str(path), line, text) for path, line, text in texts if OTHER_PAPERS.search(text)] == []


def test_prose_is_comments_docstrings_and_messages(tmp_path):
    file = tmp_path / "module.py"
    file.write_text('"""By SEED\'s recipe."""\nSEED = 3\nprint(f"{SEED} as the issue says")  # see DESIGN.md\n')
    assert [bool(OTHER_PAPERS.search(text)) for _, text in prose_of(file)] == [True, True, True]
    file.write_text('SEED = 3\nprint(f"{SEED}")\n')
    assert not any(OTHER_PAPERS.search(text) for _, text in prose_of(file))
