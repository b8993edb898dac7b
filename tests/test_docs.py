"""Docs and commands agree: every `mtl` command line in the docs and in the help is one that the program takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from mtl.cli import COMMANDS, main
from mtl.config.schema import RunConfig
from mtl.config.settings import config_from

ROOT = Path(__file__).resolve().parents[1]
DOCS = ["README.md", "CONTRIBUTING.md"] + [
    f"{folder}/README.md" for folder in ("ablations", "benchmarks", "reports", "studies")
]


def command_lines() -> list[str]:
    """Every line that begins with `mtl`, in the docs' code blocks and under `Example:` in the help."""
    found = []
    for name in DOCS:
        for block in re.findall(r"```sh\n(.*?)```", (ROOT / name).read_text("utf-8"), re.S):
            found += [
                line.split("#")[0].strip() for line in block.splitlines() if line.startswith("mtl ")
            ]
    for command in commands(main, click.Context(main)):
        text = command.help or ""
        found += [
            part.strip()
            for line in text.splitlines()
            for part in line.split("|")
            if part.strip().startswith("mtl ")
        ]
    return found


def commands(group: click.Group, context: click.Context) -> list[click.Command]:
    found: list[click.Command] = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found += commands(command, context) if isinstance(command, click.Group) else [command]
    return found


@pytest.mark.parametrize("line", command_lines())
def test_a_documented_command_line_is_one_that_the_program_takes(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, *words = shlex.split(line)
    command: click.Command = main
    context = click.Context(main)
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0])
        assert found is not None, line
        command, words = found, words[1:]
    parsed = command.make_context(command.name, list(words))
    if command.name in ("train", "config"):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "mine.yaml").write_text("train: {lr: 2e-5}\n")
        config_from(parsed.params["words"])


def test_the_readme_names_every_command_and_every_toggle() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    for name in COMMANDS:
        assert f"mtl {name}" in text, name
    for key, field in RunConfig.model_fields.items():
        if key != "seed":
            assert f"`{key}`" in text or f"`{key}." in text, (key, field)


def test_the_two_commands_of_the_readme_are_marked() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    for mark in ("main job", "tests"):
        (command,) = re.findall(rf"<!-- {mark} -->\n```sh\n(.+?)\n```", text, re.S)
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install")
