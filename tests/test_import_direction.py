"""Imports go one way, and looking at results or asking for help never loads torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import mtl

ROOT = Path(mtl.__file__).parent
HEAVY = {"torch", "pandas", "wandb", "transformers", "datasets", "sentence_transformers", "optuna", "matplotlib"}
LIGHT = ["config", "tasks", "errors", "metrics", "runs", "strict_yaml", "layers", "identity", "pairing", "prefix_store"]
LIGHT_WHEN_THERE = ["stats", "ablation", "report", "study"]
METHODS_SIDE = ["methods", "encoder", "heads", "pairing", "packing", "losses", "optim", "prefix"]


def name_of(path: Path) -> str:
    parts = ("mtl", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def statements(node: ast.AST, *, everywhere: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """The import statements that run when the module is imported, or with `everywhere` all that run at all."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield from statements(ast.Module([other], []), everywhere=everywhere)
        elif everywhere or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from statements(child, everywhere=everywhere)


@cache
def imports(name: str, *, everywhere: bool = False) -> frozenset[str]:
    """The modules that a module names in its import statements, with the packages around them."""
    found: set[str] = set()
    for statement in statements(ast.parse(FILES[name].read_text()), everywhere=everywhere):
        if isinstance(statement, ast.Import):
            found |= {alias.name for alias in statement.names}
        else:
            assert statement.level == 0, f"{name}:{statement.lineno}: imports are absolute here"
            assert statement.module is not None
            inner = {f"{statement.module}.{alias.name}" for alias in statement.names}
            found |= {statement.module} | (inner & FILES.keys())
    around = {part.rsplit(".", depth)[0] for part in found for depth in range(1, part.count(".") + 1)}
    return frozenset(found | around)


def reached(name: str) -> dict[str, str]:
    """What importing a module imports, directly or not, each with the module that names it."""
    via: dict[str, str] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop()
        for found in imports(current):
            if found not in via:
                via[found] = current
                if found in FILES:
                    waiting.append(found)
    return via


def under(room: str) -> list[str]:
    return [name for name in FILES if name == f"mtl.{room}" or name.startswith(f"mtl.{room}.")]


def in_room(name: str, *rooms: str) -> bool:
    return any(name == f"mtl.{room}" or name.startswith(f"mtl.{room}.") for room in rooms)


def test_the_walk_sees_what_it_should() -> None:
    assert "torch" in imports("mtl.encoder")
    assert "mtl.config" in imports("mtl.layers")
    assert "torch" not in imports("mtl.rng")
    assert "torch" in imports("mtl.rng", everywhere=True)
    assert "mtl.strict_yaml" in imports("mtl.layers")
    assert "torch" in reached("mtl.trainer")


@pytest.mark.parametrize("room", LIGHT)
def test_what_reads_configs_and_records_names_no_heavy_library(room: str) -> None:
    names = under(room)
    assert names
    for name in names:
        via = reached(name)
        heavy = {f"{found} (by {via[found]})" for found in via if found.split(".")[0] in HEAVY}
        assert not heavy, name


@pytest.mark.parametrize("room", LIGHT_WHEN_THERE)
def test_statistics_ablations_studies_and_reports_load_neither_torch_nor_wandb(room: str) -> None:
    if not under(room):
        pytest.skip(f"there is no mtl.{room} yet")
    for name in under(room):
        assert not {"torch", "transformers", "wandb", "mtl.trainer"} & reached(name).keys(), name


@pytest.mark.parametrize("room", ["ablation", "study"])
def test_engines_receive_train_and_never_import_the_trainer(room: str) -> None:
    if not under(room):
        pytest.skip(f"there is no mtl.{room} yet")
    for name in under(room):
        assert not any(in_room(found, "trainer") for found in imports(name, everywhere=True)), name


def test_light_modules_really_load_without_heavy_libraries() -> None:
    program = "import sys, importlib\n" + "".join(f"importlib.import_module('mtl.{room}')\n" for room in LIGHT)
    program += f"print(*sorted({HEAVY!r} & sys.modules.keys()))"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == ""


def test_only_the_command_line_imports_the_command_line() -> None:
    for name in FILES:
        if in_room(name, "commands", "cli", "__main__"):
            continue
        assert not [found for found in imports(name, everywhere=True) if in_room(found, "commands", "cli")], name


@pytest.mark.parametrize("room", METHODS_SIDE)
def test_methods_and_model_parts_know_nothing_of_the_loop_around_them(room: str) -> None:
    names = under(room)
    assert names
    for name in names:
        above = (
            "trainer",
            "runs",
            "tracking",
            "tracking_client",
            "tracking_wandb",
            "commands",
            "cli",
            "ablation",
            "report",
        )
        assert not [found for found in imports(name, everywhere=True) if in_room(found, *above)], name
        assert not [found for found in reached(name) if in_room(found, *above)], name


@pytest.mark.parametrize("library", ["wandb", "optuna", "datasets", "transformers"])
def test_optional_and_slow_libraries_are_imported_where_they_are_used(library: str) -> None:
    assert not [name for name in FILES if any(found.split(".")[0] == library for found in imports(name))]


def test_imports_make_no_circle() -> None:
    def inside(name: str) -> set[str]:
        # A package is imported with every module in it; what counts is the module that a statement names.
        return {found for found in imports(name) & FILES.keys() if not name.startswith(f"{found}.") and found != "mtl"}

    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path, name))
        if name not in done:
            for found in sorted(inside(name)):
                visit(found, (*path, name))
            done.add(name)

    for name in FILES:
        visit(name, ())


@pytest.mark.parametrize("words", [["--help"], ["--version"]])
def test_asking_for_help_loads_nothing_slow(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "mtl", *words], capture_output=True, text=True, check=True
    )
    loaded = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "mtl.cli" in loaded
    slow = HEAVY | {"pydantic", "scipy", "numpy", "tokenizers"}
    assert not {name for name in loaded if name.split(".")[0] in slow}


def test_importing_the_package_loads_nothing_slow() -> None:
    program = "import sys, mtl; print(*sorted({'torch', 'pandas', 'pydantic', 'wandb', 'numpy'} & sys.modules.keys()))"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == ""
