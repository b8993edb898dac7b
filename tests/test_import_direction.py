"""Imports go one way between packages, without circles; results and help load no torch.

Every import counts for direction and circles: at the top of a module, inside a function, and under
TYPE_CHECKING.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

import mtl

ROOT = Path(mtl.__file__).parent
HEAVY = {"torch", "pandas", "wandb", "transformers", "datasets", "sentence_transformers", "optuna"}
HEAVY |= {"matplotlib", "seaborn"}

LAYERS = (
    "errors", "files", "locks", "rng", "cache", "documents", "tasks", "config", "stats", "data",
    "model", "methods",
    "tracking", "runs", "inference", "training", "grid", "ablation", "study", "report", "api",
    "pretrained", "commands", "cli", "__main__",
)  # fmt: skip
"""Each imports only from those before it."""

NO_HEAVY = (
    "config",
    "tasks",
    "stats",
    "errors",
    "runs.folder",
    "model.pairing",
    "model.frozen.store",
)
NO_TORCH = ("ablation", "study", "report", "grid")


def name_of(path: Path) -> str:
    parts = ("mtl", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def statements(node: ast.AST, *, every: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """The import statements that run when the module is imported; with `every`, all of them."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif not every and isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield from statements(ast.Module([other], []), every=every)
        elif every or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from statements(child, every=every)


@cache
def imports(name: str, *, every: bool = False) -> frozenset[str]:
    """What a module names in its import statements: our modules, and other libraries' names."""
    found: set[str] = set()
    for statement in statements(ast.parse(FILES[name].read_text("utf-8")), every=every):
        if isinstance(statement, ast.Import):
            found |= {alias.name for alias in statement.names}
            continue
        assert statement.level == 0, f"{name}:{statement.lineno}: imports are absolute here"
        assert statement.module is not None
        for alias in statement.names:
            inner = f"{statement.module}.{alias.name}"
            found.add(inner if inner in FILES else statement.module)
    return frozenset(found)


def with_packages(names: frozenset[str]) -> set[str]:
    """The same, with the packages that are imported on the way."""
    return {part.rsplit(".", depth)[0] for part in names for depth in range(part.count(".") + 1)}


def reached(name: str) -> dict[str, str]:
    """What importing a module imports, directly or not, each with the module that names it."""
    via: dict[str, str] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop()
        for found in with_packages(imports(current)):
            if found not in via:
                via[found] = current
                if found in FILES:
                    waiting.append(found)
    return via


def under(place: str) -> list[str]:
    names = [name for name in FILES if name == f"mtl.{place}" or name.startswith(f"mtl.{place}.")]
    assert names, f"there is no mtl.{place}"
    return names


def room(name: str) -> str:
    """The package, or the module at the root, that a module belongs to; empty for `mtl` itself."""
    return name.split(".")[1] if "." in name else ""


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of names that reach one another (Tarjan's strongly connected components)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        number[node] = lowest[node] = len(number)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in number:
                visit(other)
                lowest[node] = min(lowest[node], lowest[other])
            elif other in stack:
                lowest[node] = min(lowest[node], number[other])
        if lowest[node] == number[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in graph:
        if node not in number:
            visit(node)
    return found


def module_graph() -> dict[str, set[str]]:
    # Importing a module imports its packages; only the module that a statement names counts.
    return {
        name: {
            other
            for other in imports(name, every=True) & FILES.keys()
            if other not in ("mtl", name) and not name.startswith(f"{other}.")
        }
        for name in FILES
    }


def package_graph() -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {}
    for name, others in module_graph().items():
        graph.setdefault(room(name), set()).update(room(other) for other in others)
    return {name: others - {name} for name, others in graph.items() if name}


def test_the_walk_sees_every_kind_of_import() -> None:
    assert "torch" in imports("mtl.model.encoder")
    assert "mtl.config.schema" in imports("mtl.config.settings")
    assert "torch" not in imports("mtl.rng"), "an import inside a function does not run"
    assert "torch" in imports("mtl.rng", every=True)
    assert "torch" in reached("mtl.training.loop")
    types_only = ast.parse("if TYPE_CHECKING:\n    import torch")
    assert not list(statements(types_only, every=False))
    assert list(statements(types_only, every=True))


def test_circles_are_found_where_there_are_some() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []


def test_modules_make_no_circle() -> None:
    assert circles(module_graph()) == []


def test_packages_make_no_circle() -> None:
    assert circles(package_graph()) == []


def test_the_root_holds_at_most_ten_modules() -> None:
    assert len(list(ROOT.glob("*.py"))) <= 10


@pytest.mark.parametrize("name", sorted(package_graph()))
def test_a_package_imports_only_from_those_below_it(name: str) -> None:
    assert name in LAYERS, "a new package needs its place in LAYERS"
    above = set(LAYERS[LAYERS.index(name) :])
    assert not package_graph()[name] & above


@pytest.mark.parametrize("place", NO_HEAVY)
def test_what_reads_configs_and_records_names_no_heavy_library(place: str) -> None:
    for name in under(place):
        via = reached(name)
        assert not {
            f"{found} (by {via[found]})" for found in via if found.split(".")[0] in HEAVY
        }, name


@pytest.mark.parametrize("place", NO_TORCH)
def test_planning_judging_and_reporting_load_neither_torch_nor_wandb(place: str) -> None:
    for name in under(place):
        assert not {"torch", "transformers", "wandb", "mtl.training.loop"} & reached(name).keys(), (
            name
        )


@pytest.mark.parametrize("place", ["grid", "ablation", "study"])
def test_engines_receive_train_and_never_import_the_training_loop(place: str) -> None:
    for name in under(place):
        assert "mtl.training.loop" not in imports(name, every=True), name


@pytest.mark.parametrize("place", ["methods", "model"])
def test_methods_and_model_know_nothing_of_the_loop_around_them(place: str) -> None:
    above = {
        "training",
        "runs",
        "tracking",
        "commands",
        "cli",
        "ablation",
        "report",
        "grid",
        "study",
    }
    for name in under(place):
        assert not {found for found in reached(name) if room(found) in above}, name


def test_light_modules_really_load_without_heavy_libraries() -> None:
    light = [name for place in NO_HEAVY for name in under(place)]
    program = "import sys, importlib\n" + "".join(
        f"importlib.import_module({name!r})\n" for name in light
    )
    program += f"print(*sorted({HEAVY!r} & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("library", ["wandb", "optuna", "datasets", "transformers"])
def test_optional_and_slow_libraries_are_imported_where_they_are_used(library: str) -> None:
    assert not [
        name for name in FILES if any(found.split(".")[0] == library for found in imports(name))
    ]


@pytest.mark.parametrize("words", [["--help"], ["--version"]])
def test_asking_for_help_loads_nothing_slow(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "mtl", *words],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {
        line.rsplit("|", 1)[1].strip()
        for line in done.stderr.splitlines()
        if line.startswith("import time:")
    }
    assert "mtl.cli" in loaded
    slow = HEAVY | {"pydantic", "scipy", "numpy", "tokenizers"}
    assert not {name for name in loaded if name.split(".")[0] in slow}


def test_importing_the_package_loads_nothing_slow() -> None:
    program = (
        "import sys, mtl; slow = {'torch', 'pandas', 'pydantic', 'wandb', 'numpy'}; "
        "print(*sorted(slow & sys.modules.keys()))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == ""
