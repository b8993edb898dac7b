"""Leaks from train into dev.

They are counted where the data is at hand and small, else taken from earlier records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mtl.config.schema import RunConfig
from mtl.errors import MtlError
from mtl.report.archive import Archive, Leak
from mtl.runs.record import Record
from mtl.tasks.registry import TASKS
from mtl.tasks.task import CourseData, TaskName

MOST_ROWS = 60_000
"""Up to this many rows of train and dev, counting takes a second or two."""

Leaks = dict[TaskName, Leak]


def leaks_of(
    records: Sequence[Record], configs: Mapping[str, RunConfig], before: Archive | None
) -> dict[str, Leaks]:
    """The leaks of every data set among the records, by the fingerprint of the data.

    Unknown leaks are left out.

    `configs` go by cell. `before` are earlier records of the report.
    """
    leaks: dict[str, Leaks] = {}
    known = {} if before is None else before.leaks
    for record in records:
        fingerprint = record.data.fingerprint
        if fingerprint is None or fingerprint in leaks:
            continue
        counted = _count(record, configs[record.cell])
        if counted is not None:
            leaks[fingerprint] = counted
        elif fingerprint in known:
            leaks[fingerprint] = known[fingerprint]
    return dict(sorted(leaks.items()))


def _count(record: Record, config: RunConfig) -> Leaks | None:
    """The leaks by task.

    None where the data is not at hand, is large, or has changed since the run.
    """
    from mtl.cache import cache_folder
    from mtl.data.check import check_rows
    from mtl.data.load import load_rows
    from mtl.data.rows import fingerprint

    place = str(cache_folder() / "hub") if config.data == "hub" else config.data
    course = any(isinstance(TASKS[task].data, CourseData) for task in config.tasks)
    if course and place != "sample" and not Path(place).expanduser().is_dir():
        return None
    if sum(record.data.rows.values()) > MOST_ROWS:
        return None
    try:
        rows = load_rows(place, config.tasks, ("train", "dev"), on_bad_row="skip")
    except MtlError:  # unknown here; training on it says what is wrong with it
        return None
    if fingerprint(rows) != record.data.fingerprint:
        return None
    tasks = check_rows(rows)["tasks"]
    return {
        task: Leak(**{key: part["leaks"]["train/dev"][key] for key in Leak.model_fields})
        for task, part in tasks.items()
    }
