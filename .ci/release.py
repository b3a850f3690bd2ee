"""Wheel, source distribution and bill of materials in dist/, built twice and looked into before anybody gets them.

    make dist            # or: python .ci/release.py, with the extra `release`

What is wrong is named, and the exit status is 1.
"""

from __future__ import annotations

import configparser
import csv
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NAME, VERSION = PROJECT["project"]["name"], PROJECT["project"]["version"]
ROOMS = ("harness", "impls", "reference", "reports")
OF_THE_SOURCES = ("pyproject.toml", "README.md", "LICENSE", ".ci/one_name.py")
"""What the source distribution needs beside the rooms, to build the wheel."""
LARGEST = 4_000_000
"""Bytes of a distribution: more would be data that went along by mistake."""


def build(out: Path) -> tuple[Path, Path]:
    """(the wheel, the source distribution); the wheel is built from the source distribution."""
    quietly(sys.executable, "-m", "build", "--outdir", out, ROOT)
    (wheel,), (sources,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, sources


def quietly(*command: object) -> None:
    """Run it; what it says is shown where it fails."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}:\n{done.stdout}{done.stderr}")


def committed() -> set[str]:
    """Every file of the rooms that git knows."""
    listed = subprocess.run(["git", "ls-files", *ROOMS], cwd=ROOT, check=True, capture_output=True, text=True)
    return set(listed.stdout.splitlines())


def modules() -> set[str]:
    """Scripts beside a published page are none."""
    return {path for path in committed() if path.endswith(".py") and "/published/" not in path}


def package_data() -> set[str]:
    """The files beside modules that pyproject.toml names."""
    patterns = PROJECT["tool"]["setuptools"]["package-data"]
    return {
        file.relative_to(ROOT).as_posix()
        for package, names in patterns.items()
        for name in names
        for file in ROOT.joinpath(*package.split(".")).glob(name)
        if file.is_file()
    } & committed()


def wrong_in_wheel(wheel: Path) -> Iterator[str]:
    with zipfile.ZipFile(wheel) as archive:
        files = {path: archive.read(path) for path in archive.namelist()}
    info = f"{NAME}-{VERSION}.dist-info"
    for path in sorted(modules() | package_data()):
        if f"{NAME}/{path}" not in files:
            yield f"the wheel lacks {path}"
    for path in sorted(files):
        inside = path.removeprefix(f"{NAME}/")
        if not path.startswith((f"{NAME}/", f"{info}/")):
            yield f"{path} is not under {NAME}"
        elif path.startswith(f"{NAME}/") and inside != "__init__.py" and inside not in committed():
            yield f"{path} is not committed"
    entry_points = configparser.ConfigParser()
    entry_points.read_string(files[f"{info}/entry_points.txt"].decode())
    if entry_points["console_scripts"][NAME] != f"{NAME}.harness.cli.app:main":
        yield "the command is another"
    recorded = {row[0] for row in csv.reader(io.StringIO(files[f"{info}/RECORD"].decode()))}
    if recorded != set(files):
        yield f"RECORD is about other files: {sorted(recorded ^ set(files))[:5]}"
    if not any(path.endswith("LICENSE") for path in files):
        yield "the wheel has no licence"
    if f"Version: {VERSION}\n" not in files[f"{info}/METADATA"].decode():
        yield "the metadata has another version"
    if wheel.stat().st_size > LARGEST:
        yield f"the wheel has {wheel.stat().st_size:,} bytes"


def wrong_in_sources(sources: Path) -> Iterator[str]:
    with tarfile.open(sources) as archive:
        inside = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    needed = {*OF_THE_SOURCES, *package_data(), *modules()}
    for path in sorted(needed - inside):
        yield f"the source distribution lacks {path}"
    if sources.stat().st_size > LARGEST:
        yield f"the source distribution has {sources.stat().st_size:,} bytes"


def wrong_when_installed(wheel: Path, bill: Path) -> Iterator[str]:
    """Installs the wheel alone into a new environment, writes its bill of materials, and asks it for a verdict."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "environment")
        venv.create(place, with_pip=True)
        python = place / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        quietly(python, "-m", "pip", "install", wheel)
        quietly(python, "-m", "pip", "uninstall", "--yes", "setuptools", "pip")  # no part of it
        options = ["--pyproject", ROOT / "pyproject.toml", "--output-reproducible", "--of", "JSON", "-o", bill]
        quietly(sys.executable, "-m", "cyclonedx_py", "environment", *options, python)
        checked = subprocess.run(
            [python, "-m", f"{NAME}.harness.cli", "check", "numpy", "--suite", "quick"],
            cwd=folder, capture_output=True, text=True,
        )  # fmt: skip
        if checked.returncode or "agree" not in checked.stdout:
            yield f"installed, check numpy ends with {checked.returncode}: {checked.stdout}{checked.stderr}"


def wrong_in_bill(bill: Path) -> Iterator[str]:
    content = json.loads(bill.read_text(encoding="utf-8"))
    if content["bomFormat"] != "CycloneDX":
        yield "the bill of materials is none of CycloneDX"
    if content["metadata"]["component"]["name"] != NAME:
        yield "the bill of materials is about something else"
    listed = {component["name"].lower().replace("_", "-") for component in content["components"]}
    for requirement in PROJECT["project"]["dependencies"]:
        name = re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-")  # type: ignore[index]
        if ";" not in requirement and name not in listed:
            yield f"the bill of materials lacks {name}"


def main() -> None:
    out = ROOT / "dist"
    shutil.rmtree(out, ignore_errors=True)
    wheel, sources = build(out)
    with tempfile.TemporaryDirectory() as folder:
        again, _ = build(Path(folder))
        same = again.read_bytes() == wheel.read_bytes()
    bill = out / f"{NAME}-{VERSION}.cdx.json"
    wrong = [*([] if same else ["a second build gives other bytes"]), *wrong_in_wheel(wheel)]
    wrong += [*wrong_in_sources(sources), *wrong_when_installed(wheel, bill), *wrong_in_bill(bill)]
    for line in wrong:
        print(f"wrong: {line}")
    for path in sorted(out.iterdir()):
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
