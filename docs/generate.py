"""Writes the references in `docs/` from the code: `toggles.md` and `commands.md`.

python docs/generate.py           write both
python docs/generate.py --check   exit with 1 if one is stale
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from mtl.cli import COMMANDS, main
from mtl.commands.options import CONTEXT
from mtl.config.assignments import level_name
from mtl.config.by_task import TASK_DEFAULTS
from mtl.config.idle import Idle
from mtl.config.presets import PRESETS
from mtl.config.schema import SECTIONS, RunConfig, default_of
from mtl.methods.loss_sources import LOSS_SOURCES
from mtl.methods.toggle import Toggle
from mtl.methods.toggles import TOGGLES as SETTINGS
from mtl.methods.toggles import task_toggles
from mtl.tasks.registry import TASKS

TOGGLES = (*SETTINGS, *task_toggles())
DOCS = Path(__file__).resolve().parent
MADE = "<!-- Written by docs/generate.py from the code. Do not edit. -->\n"

GROUPS = {
    "": "The run",
    "heads": "Heads: `heads.*`",
    "task_weights": "Weights of losses: `task_weights.*`",
    "losses": "Losses: `losses.*`",
    "freeze": "Freezing: `freeze.*`",
    "smart": "SMART: `smart.*`",
    "lora": "LoRA: `lora.*`",
    "simcse": "SimCSE: `simcse.*`",
    "train": "Training: `train.*`",
}

EXAMPLES = {"Smart": "{lambda_s: 3, ...}", "Lora": "{rank: 4, ...}", "SimCSE": "{steps: 200, ...}"}
"""Some settings of the sections that may be null."""


def toggles() -> str:
    """The reference of settings: tables by group, then what else the entries say."""
    parts = [
        MADE,
        "# Toggles\n",
        f"All {len(TOGGLES)} settings of a run, except its `seed`. The defaults are the baseline\n"
        'of *Freeze Your Layers* (Gorti & Thiesmeyer 2023), called "the paper" below.\n'
        "[Settings](settings.md) says how to set them. [Presets](#presets) set several at once.\n",
    ]
    for section, title in GROUPS.items():
        parts += [f"## {title}\n", *_intro(section), *_settings_table(section)]
    parts += _no_effect() + _costs() + _published() + _presets() + _sources()
    return "\n".join(parts)


def _group(section: str) -> list[Toggle]:
    """The toggles of a section in the schema's order."""
    model = SECTIONS[section] if section else RunConfig
    tasks = TASKS if section in TASK_DEFAULTS else ()
    names = [*model.model_fields, *tasks]
    order = [f"{section}.{name}".lstrip(".") for name in names]
    return sorted(
        (toggle for toggle in TOGGLES if toggle.key in order),
        key=lambda toggle: order.index(toggle.key),
    )


def _intro(section: str) -> list[str]:
    return [f"{inspect.cleandoc(SECTIONS[section].__doc__ or '')}\n"] if section else []


def _settings_table(section: str) -> list[str]:
    rows = [
        (
            f"`{toggle.key}`",
            f"`{level_name(toggle.neutral)}`",
            _values(toggle.key),
            toggle.description,
        )
        for toggle in _group(section)
    ]
    return _table(("key", "default", "other values", "what it does"), rows)


def _no_effect() -> list[str]:
    keys: dict[Idle, list[str]] = {}
    for toggle in TOGGLES:
        for idle in toggle.idles:
            keys.setdefault(idle, []).append(f"`{toggle.key}`")
    rows = [
        (", ".join(names), idle.why.format(tasks="T").split(". ")[0].rstrip("."))
        for idle, names in keys.items()
    ]
    text = (
        "On a command line such a setting is an error. In the factors of a grid it is allowed:\n"
        "combinations that differ only there are one arm. T stands for the tasks of the run.\n"
    )
    return [
        "## When a setting has no effect\n",
        text,
        *_table(("settings", "no effect, because"), rows),
    ]


def _costs() -> list[str]:
    rows = [(f"`{toggle.key}`", toggle.cost) for toggle in TOGGLES if toggle.cost]
    text = (
        "The other settings hardly change it. `--dry-run` estimates the time of a run from runs\n"
        "with the same values here.\n"
    )
    return ["## What changes the cost of a step\n", text, *_table(("setting", "how"), rows)]


def _published() -> list[str]:
    keys: dict[str, list[str]] = {}
    for toggle in TOGGLES:
        if toggle.may_differ:
            keys.setdefault(toggle.may_differ, []).append(f"`{toggle.key}`")
    rows = [(", ".join(names), reason) for reason, names in keys.items()]
    text = (
        "A report prints a score from the paper beside an arm only if the arm has the settings of\n"
        "that model in the paper. These settings may differ:\n"
    )
    return [
        "## What may differ from a published model\n", text, *_table(("setting", "because"), rows)
    ]  # fmt: skip


def _presets() -> list[str]:
    rows = [
        (
            f"`{name}`",
            ", ".join(f"`{key}={level_name(value)}`" for key, value in _flat(settings))
            or "the defaults",
        )
        for name, settings in PRESETS.items()
    ]
    return ["## Presets\n", *_table(("preset", "settings"), rows)]


def _sources() -> list[str]:
    lines = [
        f"* `{toggle.key}`, {source.title}: {source.text}"
        for toggle in TOGGLES
        for source in toggle.sources
    ]
    lines += [f"* `losses.NAME`, {source.title}: {source.text}" for source in LOSS_SOURCES]
    lines += [
        f"* task `{task.name}`: {task.citation}".replace("*SEM", "\\*SEM")
        for task in TASKS.values()
        if task.citation
    ]
    return ["## Sources\n", *lines, ""]


def _flat(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _values(key: str) -> str:
    """What a setting can be, from the JSON Schema."""
    schema = RunConfig.model_json_schema()
    properties = schema["properties"]
    section, _, name = key.rpartition(".")
    if section:
        properties = schema["$defs"][SECTIONS[section].__name__]["properties"]
    part = properties[name]
    default = level_name(default_of(key))
    options = [_option(option) for option in part.get("anyOf", [part])]
    words = [word for option in options for word in option if word != f"`{default}`"]
    return ", ".join(words) or "any text"


def _option(part: dict[str, Any]) -> list[str]:
    """The values of one branch of a JSON Schema, as words."""
    if "$ref" in part:
        return ["`{}`", f"`{EXAMPLES[part['$ref'].rpartition('/')[2]]}`"]
    if "enum" in part or "const" in part:
        return [f"`{value}`" for value in part.get("enum") or [part["const"]]]
    match part["type"]:
        case "null":
            return ["`null`"]
        case "boolean":
            return ["`true`", "`false`"]
        case "string":
            return ["text"]
        case "array":
            return ["two numbers"] if "prefixItems" in part else ["a list of tasks"]
    number = "whole number" if part["type"] == "integer" else "number"
    bounds = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to",
              "exclusiveMaximum": "below"}  # fmt: skip
    limits = [f"{word} {part[name]:g}" for name, word in bounds.items() if name in part]
    return [" ".join([number, *limits])]


def commands() -> str:
    """The reference of commands: the help of each."""
    parts = [MADE, "# Commands\n", "The same text is in `mtl COMMAND --help`.\n"]
    rows = [(f"[`mtl {name}`](#mtl-{name})", line) for name, (_, line) in COMMANDS.items()]
    parts += _table(("command", "what it does"), rows)
    parts += [
        "Results go to stdout, progress to stderr. Exit codes: 0 done, 1 some work failed\n"
        "or a run is not there, 2 wrong usage, config or data, 130 and 143 interrupted.\n"
    ]
    for path, command in _all_commands(main, ("mtl",)):
        name = " ".join(path)
        context = click.Context(command, info_name=name, terminal_width=100, **CONTEXT)
        title = "#" * min(len(path), 3) + f" {name}"
        parts += [f"{title}\n", "```text", command.get_help(context).strip(), "```\n"]
    return "\n".join(parts)


def _all_commands(
    group: click.Group, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from _all_commands(command, (*path, name))


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    lines = [heads, tuple("---" for _ in heads), *rows]
    cells = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return [*(f"| {' | '.join(line)} |" for line in cells), ""]


PAGES = {"toggles.md": toggles, "commands.md": commands}


def stale() -> list[str]:
    """The pages that the code would write differently."""
    return [
        name
        for name, page in PAGES.items()
        if not (DOCS / name).is_file() or (DOCS / name).read_text("utf-8") != page()
    ]


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(f"stale: {', '.join(stale())}. Run python docs/generate.py." if stale() else 0)
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), "utf-8")
