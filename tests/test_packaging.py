"""The wheel holds every package, and every file that a package needs."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]


def test_every_package_is_listed() -> None:
    packages = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "mtl").rglob("__init__.py")
    }
    data = set(SETUPTOOLS["package-data"]) - {"mtl"}
    assert set(SETUPTOOLS["packages"]) == packages | data


def test_every_file_that_is_not_code_is_listed() -> None:
    for path in (ROOT / "mtl").rglob("*"):
        if path.is_dir() or path.suffix in (".py", ".pyc"):
            continue
        package = ".".join(path.parent.relative_to(ROOT).parts)
        patterns = SETUPTOOLS["package-data"].get(package, [])
        assert any(path.match(pattern) for pattern in patterns), path


def test_folders_outside_the_package_exist() -> None:
    for package, folder in SETUPTOOLS["package-dir"].items():
        assert list((ROOT / folder).glob("*.yaml")), package
