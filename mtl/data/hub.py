"""The public versions of the three tasks, from the Hugging Face hub into course files.

SST-5 and STS-B come with their official splits. The labels of Quora's (QQP's) test split are hidden, so its labelled
validation split is halved: rows with an even `idx` are dev, the others test. Each repository is read at one fixed
revision. What is written is a plain folder of course files: everything after the fetch works offline. A mirror is a
local folder laid out as the repositories are (`MIRROR/SetFit/sst5/train.jsonl`), read by the same code.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np

from mtl.cache import cache_folder, write_data_file
from mtl.data.course.cells import MAX_SHOWN, parse_label, row_problems
from mtl.data.course.files import write_course
from mtl.data.rows import Rows
from mtl.errors import DataError, suggestion
from mtl.tasks.registry import SPLITS, TASKS, Split, Task, TaskName

MANIFEST = "fetched.json"
_FORMATS = {".jsonl": "json", ".jsonl.gz": "json", ".parquet": "parquet"}


@dataclass(frozen=True, kw_only=True)
class Source:
    """A hub repository. `files` maps its splits to paths in it; `columns` maps a task's columns to its own.

    `index` is the column that numbers rows, or None where their place in the file does.
    """

    repository: str
    revision: str
    prefix: str
    files: Mapping[str, str]
    columns: Mapping[str, str]
    index: str | None = None


SOURCES: dict[TaskName, Source] = {
    "sst": Source(
        repository="SetFit/sst5",
        revision="e51bdcd8cd3a30da231967c1a249ba59361279a3",
        prefix="sst5",
        files={"train": "train.jsonl", "dev": "dev.jsonl", "test": "test.jsonl"},
        columns={"sentence": "text", "sentiment": "label"},
    ),
    "quora": Source(
        repository="nyu-mll/glue",
        revision="bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c",
        prefix="qqp",
        files={
            "train": "qqp/train-00000-of-00001.parquet",
            "validation": "qqp/validation-00000-of-00001.parquet",
        },
        columns={"sentence1": "question1", "sentence2": "question2", "is_duplicate": "label"},
        index="idx",
    ),
    "sts": Source(
        repository="mteb/stsbenchmark-sts",
        revision="b0fddb56ed78048fa8b90373c8a3cfc37b684831",
        prefix="stsb",
        files={
            "train": "train.jsonl.gz",
            "validation": "validation.jsonl.gz",
            "test": "test.jsonl.gz",
        },
        columns={"sentence1": "sentence1", "sentence2": "sentence2", "similarity": "score"},
    ),
}


def fetch_hub(
    folder: Path,
    tasks: Sequence[TaskName],
    *,
    mirror: Path | None = None,
    say: Callable[[str], None] | None = None,
) -> list[Path]:
    """Write the course files of `tasks`, all splits, into `folder` and return their paths.

    `mirror` (or `$MTL_HUB_MIRROR`) is read instead of the network. Rows that break the rules of a course file are left
    out; `fetched.json` in `folder` counts them and names the first, with each file's source and fingerprint. `say` gets
    a line about each step. Needs the extra `hub`. Files that were not fetched are never overwritten.
    """
    mirror = _mirror(mirror)
    manifest = _manifest(folder)
    _check_overwrite(folder, tasks, manifest)
    say = say or (lambda line: None)
    written: list[Path] = []
    for name in tasks:
        task, source = TASKS[name], SOURCES[name]
        tables: dict[str, dict[str, list[Any]]] = {}
        for part in source.files:
            where = f"{mirror / source.repository}" if mirror else f"the hub's {source.repository}"
            say(f"{name}: reading {part} from {where}")
            tables[part] = _read(source, _local_files(source, part, mirror))
        parts = {split: _rows(task, split, source, tables) for split in SPLITS}
        for split, rows in parts.items():
            manifest["files"][task.file_name(split)] = {
                "source": source.repository,
                "revision": None if mirror else source.revision,
                "rows": len(rows),
                "left_out": len(rows.skipped),
                "left_out_first": list(rows.skipped[:MAX_SHOWN]),
                "fingerprint": rows.fingerprint(),
            }
        # The manifest goes first: a kill between the two must not leave a file that the next fetch takes for yours.
        write_data_file(
            folder / MANIFEST, (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode()
        )
        written += [write_course(folder, rows) for rows in parts.values()]
    return written


def _mirror(mirror: Path | None) -> Path | None:
    chosen = mirror or os.environ.get("MTL_HUB_MIRROR")
    if not chosen:
        return None
    folder = Path(chosen).expanduser()
    if not folder.is_dir():
        origin = "the mirror" if mirror else "MTL_HUB_MIRROR"
        raise DataError(
            f"{folder}: {origin} is no folder. Expected one that holds SetFit/sst5, nyu-mll/glue, ..."
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
            f"{folder} holds {', '.join(own)}, not from the hub. Nothing was changed: use another folder."
        )


def _local_files(source: Source, part: str, mirror: Path | None) -> list[Path]:
    """The files of one split: from the mirror, whatever their format and number, or downloaded."""
    expected = Path(source.files[part])
    if mirror is None:
        return [_download(source, source.files[part])]
    folder = mirror / source.repository / expected.parent
    stem = expected.name.split(".")[0].split("-")[0]
    files = sorted(path for path in folder.glob(f"{stem}*") if _format(path) and path.is_file())
    if not files:
        raise DataError(
            f"{folder}: the mirror has no {expected.name} (nor {stem}*.jsonl, {stem}*.jsonl.gz or {stem}*.parquet). "
            f"Copy it from the hub's dataset {source.repository}."
        )
    if len({_format(path) for path in files}) > 1:
        raise DataError(
            f"{folder}: {', '.join(path.name for path in files)} are of two formats. Keep those of one."
        )
    return files


def _format(path: Path) -> str | None:
    return next((loader for ending, loader in _FORMATS.items() if path.name.endswith(ending)), None)


def _missing_package(error: ImportError) -> DataError:
    return DataError(
        f"The hub's data needs the package {error.name!r}, which is not installed. "
        "Install it: pip install 'mtl-ablate[hub]', or use data=sample or a folder of course files."
    )


def _download(source: Source, name: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError as error:
        raise _missing_package(error) from error

    # HfHubHTTPError derives from the error of the HTTP library that this version uses, whose name has changed.
    failures: tuple[type[BaseException], ...] = (OSError, ValueError, *HfHubHTTPError.__bases__)
    cache = cache_folder() / "huggingface"
    try:
        return Path(
            hf_hub_download(
                source.repository,
                name,
                repo_type="dataset",
                revision=source.revision,
                cache_dir=str(cache),
            )
        )
    except failures as error:
        reason = shorten(str(error), 300, placeholder=" ...").rstrip(".")
        raise DataError(
            f"Cannot download {name} of the hub's dataset {source.repository}: {reason}. Without a network, copy the "
            f"dataset's files to FOLDER/{source.repository} and use --mirror FOLDER or MTL_HUB_MIRROR=FOLDER; "
            "or use data=sample."
        ) from error


def _read(source: Source, files: Sequence[Path]) -> dict[str, list[Any]]:
    """The needed columns of one split, by the source's names."""
    try:
        import datasets
        import pyarrow  # type: ignore[import-untyped]
    except ImportError as error:
        raise _missing_package(error) from error

    names = ", ".join(str(path) for path in files)
    quiet = not sys.stderr.isatty() and not datasets.are_progress_bars_disabled()
    if quiet:
        datasets.disable_progress_bars()
    scratch = cache_folder() / "datasets"
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        # The library's own copy is only a step on the way to the course file, so it goes when the step is done.
        with tempfile.TemporaryDirectory(dir=scratch, ignore_cleanup_errors=True) as cache:
            table = datasets.load_dataset(
                str(_format(files[0])),
                data_files={"part": [str(path) for path in files]},
                split="part",
                cache_dir=cache,
            )
            needed = [*source.columns.values()] + ([source.index] if source.index else [])
            for column in needed:
                if column not in table.column_names:
                    came = ", ".join(map(repr, table.column_names))
                    near = suggestion(column, table.column_names)
                    raise DataError(
                        f"{names}: column {column!r}: expected, the file has only {came}.{near}"
                    )
            columns: dict[str, list[Any]] = table.select_columns(needed).to_dict()
            return columns
    except (
        datasets.exceptions.DatasetsError,
        pyarrow.ArrowException,
        OSError,
        ValueError,
        StopIteration,
    ) as error:
        cause = error.__cause__ or error
        reason = shorten(str(cause), 300, placeholder=" ...").rstrip(".") or "it holds no rows"
        raise DataError(
            f"{names}: cannot read it: {reason}. Is the copy complete? Fetch it again."
        ) from error
    finally:
        if quiet:
            datasets.enable_progress_bars()


def _part(source: Source, split: Split) -> str:
    """The source's split that ours is taken from; without an own dev or test split it is `validation`."""
    choices = {"train": ["train"], "dev": ["dev", "validation"], "test": ["test", "validation"]}[
        split
    ]
    return next(part for part in choices if part in source.files)


def _rows(
    task: Task, split: Split, source: Source, tables: Mapping[str, Mapping[str, list[Any]]]
) -> Rows:
    """Our rows of one split; those that break the rules are left out and listed in `skipped`."""
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
        raise DataError(
            f"{source.repository} {part}: no usable row for {split}. {' '.join(skipped[:1])}".rstrip()
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
