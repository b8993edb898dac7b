"""Fetch the public versions of the three tasks from the Hugging Face hub, as course files.

SST-5 and STS-B have official splits. The test labels of Quora (QQP) are hidden, so its labelled
validation split is halved: rows with an even `idx` are dev, the others are test. The result is a
folder of course files, so everything after the fetch works offline.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtl.cache import write_data_file
from mtl.data.course.cells import MAX_SHOWN, parse_label, row_problems
from mtl.data.course.write import write_course
from mtl.data.hub_files import local_files, read_columns
from mtl.data.rows import Rows
from mtl.errors import DataError
from mtl.tasks.registry import TASKS
from mtl.tasks.task import SPLITS, HubSource, Split, Task, TaskName

MANIFEST = "fetched.json"


def fetch_hub(
    folder: Path,
    tasks: Sequence[TaskName],
    *,
    mirror: Path | None = None,
    say: Callable[[str], None] | None = None,
) -> list[Path]:
    """Write the course files of `tasks`, all splits, into `folder` and return their paths.

    `mirror` (or `$MTL_HUB_MIRROR`) is read instead of the network: a folder laid out like the
    repositories (`MIRROR/SetFit/sst5/train.jsonl`). Rows that break the rules of a course file are
    left out; `fetched.json` in `folder` counts them, lists the first ones, and holds the source and
    fingerprint of each file. `say` is called with a line about each step. Files that were not
    fetched are never overwritten. Needs the extra `hub`. Raises DataError.
    """
    mirror = _mirror(mirror)
    manifest = _manifest(folder)
    _check_overwrite(folder, tasks, manifest)
    written: list[Path] = []
    for name in tasks:
        parts = _fetch_task(TASKS[name], mirror, say or (lambda line: None))
        for rows in parts:
            entry = _manifest_entry(rows, TASKS[name].course.hub, mirror)
            manifest["files"][rows.task.file_name(rows.split)] = entry
        # The manifest is written first. If a kill came between the two writes, the next fetch would
        # otherwise take a fetched file for the user's own.
        content = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
        write_data_file(folder / MANIFEST, content.encode())
        written += [write_course(folder, rows) for rows in parts]
    return written


def _fetch_task(task: Task, mirror: Path | None, say: Callable[[str], None]) -> list[Rows]:
    """The rows of all splits of a task."""
    source = task.course.hub
    where = f"{mirror / source.repository}" if mirror else f"the hub's {source.repository}"
    tables: dict[str, dict[str, list[Any]]] = {}
    for part in source.files:
        say(f"{task.name}: reading {part} from {where}")
        tables[part] = read_columns(source, local_files(source, part, mirror))
    return [_rows(task, split, tables) for split in SPLITS]


def _manifest_entry(rows: Rows, source: HubSource, mirror: Path | None) -> dict[str, Any]:
    return {
        "source": source.repository,
        "revision": None if mirror else source.revision,
        "rows": len(rows),
        "left_out": len(rows.skipped),
        "left_out_first": list(rows.skipped[:MAX_SHOWN]),
        "fingerprint": rows.fingerprint(),
    }


def _mirror(mirror: Path | None) -> Path | None:
    chosen = mirror or os.environ.get("MTL_HUB_MIRROR")
    if not chosen:
        return None
    folder = Path(chosen).expanduser()
    if not folder.is_dir():
        origin = "the mirror" if mirror else "MTL_HUB_MIRROR"
        raise DataError(
            f"{folder}: {origin} is not a folder. "
            "Expected one that holds SetFit/sst5, nyu-mll/glue, ..."
        )
    return folder


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        dict(manifest["files"])
    except FileNotFoundError:
        return {"schema": 1, "files": {}}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: cannot read it ({error}). Remove the folder, or fetch into another."
        ) from error
    return manifest


def _check_overwrite(folder: Path, tasks: Sequence[TaskName], manifest: Mapping[str, Any]) -> None:
    names = [TASKS[task].file_name(split) for task in tasks for split in SPLITS]
    own = [name for name in names if (folder / name).exists() and name not in manifest["files"]]
    if own:
        raise DataError(
            f"{folder} holds {', '.join(own)}, which did not come from the hub. "
            "Nothing was changed. Use another folder."
        )


def _part(source: HubSource, split: Split) -> str:
    """The repository's split that holds `split`: its own, or `validation` for dev and test."""
    if split in source.files:
        return split
    return "validation"


def _rows(task: Task, split: Split, tables: Mapping[str, Mapping[str, list[Any]]]) -> Rows:
    """The rows of one split. Rows that break the rules are left out and listed in `skipped`."""
    source = task.course.hub
    part = _part(source, split)
    table = tables[part]
    halved = "test" not in source.files and split != "train"
    wanted = [*task.sentence_columns, task.label_column]
    columns = [table[source.columns[name]] for name in wanted]
    numbers = table[source.index] if source.index else range(len(columns[0]))
    kept: list[dict[str, str]] = []
    skipped: list[str] = []
    for number, *values in zip(numbers, *columns, strict=True):
        if halved and (number % 2 == 0) != (split == "dev"):
            continue
        texts = ["" if value is None else str(value) for value in values]
        cells = {"id": f"{source.prefix}-{part}-{number}", **dict(zip(wanted, texts, strict=True))}
        problems = row_problems(task, cells, labelled=True)
        if problems:
            listed = "; ".join(f"column {column!r}: {message}" for column, message in problems)
            skipped.append(f"{cells['id']}: {listed}")
        else:
            kept.append(cells)
    if not kept:
        first_skipped = f" {skipped[0]}" if skipped else ""
        raise DataError(
            f"{source.repository} {part}: no usable row for {split}.{first_skipped}".rstrip()
        )
    first, *second = task.sentence_columns
    return Rows(
        task=task,
        split=split,
        ids=[cells["id"] for cells in kept],
        first=[cells[first] for cells in kept],
        second=[cells[second[0]] for cells in kept] if second else None,
        labels=np.array(
            [parse_label(task, cells[task.label_column]) for cells in kept], dtype=np.float64
        ),
        skipped=tuple(skipped),
    )
