"""What the comparability card can tell of leaks: counted where the data is at hand and small, else taken from earlier records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtl.config.schema import RunConfig
from mtl.errors import MtlError
from mtl.runs.record import Record

MOST_ROWS = 60_000
"""Rows of train and dev up to which counting takes a second or two; beyond, `mtl data check` does it."""

Leaks = dict[str, dict[str, Any]]
"""Data fingerprint -> task -> {rows, rows_share, sentences, sentences_share}, of dev rows that also stand in train."""


def leaks_of(
    records: Sequence[Record], configs: Mapping[str, RunConfig], before: Mapping[str, Any] | None
) -> Leaks:
    """The leaks from train into dev of every data set among the records, as far as they are known."""
    found: Leaks = {}
    known: Leaks = (before or {}).get("leaks", {})
    for record in records:
        fingerprint = record.data.fingerprint
        if fingerprint is None or fingerprint in found:
            continue
        counted = _count(record, configs[record.cell])
        if counted is not None:
            found[fingerprint] = counted
        elif fingerprint in known:
            found[fingerprint] = known[fingerprint]
    return dict(sorted(found.items()))


def _count(record: Record, config: RunConfig) -> dict[str, Any] | None:
    """The leaks by task; None where the data is not at hand, is large, or is no longer what the run was trained on."""
    from mtl.cache import cache_folder
    from mtl.data.check import check_rows
    from mtl.data.load import load_rows
    from mtl.data.rows import fingerprint

    place = str(cache_folder() / "hub") if config.data == "hub" else config.data
    if place != "sample" and not Path(place).expanduser().is_dir():
        return None
    if sum(record.data.rows.values()) > MOST_ROWS:
        return None
    try:
        rows = load_rows(place, config.tasks, ("train", "dev"), on_bad_row="skip")
    except MtlError:  # unknown here; whoever trains on it is told what is wrong with it
        return None
    if fingerprint(rows) != record.data.fingerprint:
        return None
    kept = ("rows", "rows_share", "sentences", "sentences_share")
    tasks = check_rows(rows)["tasks"]
    return {
        task: {key: part["leaks"]["train/dev"][key] for key in kept} for task, part in tasks.items()
    }
