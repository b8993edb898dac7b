"""Docs and code agree: command lines, paths, links and examples work, references are fresh."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from mtl.cli import COMMANDS, main
from mtl.config.schema import KEYS
from mtl.config.settings import config_from

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md"))
DOCS = ["README.md", "CONTRIBUTING.md", *PAGES] + [
    f"{folder}/README.md" for folder in ("ablations", "benchmarks", "reports", "studies")
]


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def command_lines() -> list[str]:
    """Every line that begins with `mtl`, in the docs' code blocks and in the commands' help.

    Those of CONTRIBUTING need its recipes; `tests/test_recipes.py` runs them.
    """
    lines = []
    for name in DOCS:
        if name == "CONTRIBUTING.md":
            continue
        for block in re.findall(r"```sh\n(.*?)```", read(name), re.S):
            lines += [line.split("#")[0].strip() for line in block.splitlines()]
    for command in commands(main, click.Context(main)):
        for line in (command.help or "").splitlines():
            lines += [part.strip() for part in line.split("|")]
    return sorted({line for line in lines if line.startswith("mtl ")})


def commands(group: click.Group, context: click.Context) -> list[click.Command]:
    """Every command that is no group, at any depth."""
    leaves: list[click.Command] = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        leaves += commands(command, context) if isinstance(command, click.Group) else [command]
    return leaves


@pytest.mark.parametrize("line", command_lines())
def test_a_documented_command_line_is_one_that_the_program_takes(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, *words = shlex.split(line)
    command: click.Command = main
    context = click.Context(main)
    while isinstance(command, click.Group):
        child = command.get_command(context, words[0])
        assert child is not None, line
        command, words = child, words[1:]
    parsed = command.make_context(command.name, list(words))
    if command.name in ("train", "config"):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "mine.yaml").write_text("train: {lr: 2e-5}\n")
        (tmp_path / "tasks").mkdir()
        (tmp_path / "tasks" / "tickets.yaml").write_text(
            "{task: tickets, task_type: regression, text: text, label: y, metric: rmse}"
        )
        config_from(parsed.params["words"])


def test_the_readme_is_short_and_names_every_command() -> None:
    text = read("README.md")
    assert len(text.splitlines()) <= 120
    for name in COMMANDS:
        assert f"mtl {name}" in text, name


def test_the_reference_has_every_toggle_and_every_command() -> None:
    assert not [
        key for key in KEYS if key != "seed" and f"| `{key}` |" not in read("docs/toggles.md")
    ]
    assert not [name for name in COMMANDS if f"## mtl {name}\n" not in read("docs/commands.md")]


def test_the_generated_references_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_two_commands_of_the_readme_are_marked() -> None:
    for mark in ("main job", "tests"):
        (command,) = re.findall(rf"<!-- {mark} -->\n```sh\n(.+?)\n```", read("README.md"), re.S)
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install")


@pytest.mark.parametrize("name", DOCS)
def test_links_lead_to_files_and_headings(name: str) -> None:
    text = re.sub(r"```.*?```", "", read(name), flags=re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        place, _, anchor = link.partition("#")
        if "://" in place:
            continue
        target = (ROOT / name).parent / place if place else ROOT / name
        assert target.exists(), f"{name}: {link}"
        if anchor:
            assert anchor in headings(target.read_text("utf-8")), f"{name}: {link}"


def headings(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    titles = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


PATHS = re.compile(r"`((?:mtl|tests|docs|ablations|studies|reports|benchmarks)/[\w/.-]*)`")


@pytest.mark.parametrize("name", [name for name in DOCS if name != "docs/commands.md"])
def test_paths_in_the_docs_exist(name: str) -> None:
    text = re.sub(r"```.*?```", "", read(name), flags=re.S)
    made = {"reports/NAME.md", "ablations/tickets.yaml", *re.findall(r"New\sfile\s`([^`]+)`", text)}
    named = set(PATHS.findall(text)) - made
    assert not [path for path in named if not (ROOT / path).exists()]


@pytest.mark.slow
@pytest.mark.timeout(900)  # a run, a grid and a search, each in processes of their own
def test_the_python_examples_run(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", read("docs/python.md"), re.S)
    (tmp_path / "examples.py").write_text("\n".join(blocks), "utf-8")
    done = subprocess.run(
        [sys.executable, "examples.py"], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "MTL_CACHE": str(tmp_path / "cache"),
                          "OMP_NUM_THREADS": "1"},
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="needs the extra docs")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "toggles.html").is_file()
    page = (tmp_path / "index.html").read_text("utf-8")
    assert not re.findall(r'(?:src|href)="https?://(?!squidfunk)[^"]*"', page)
