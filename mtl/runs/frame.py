"""Many runs at once: as a table, or by the settings in which they differ."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl.documents.keys import flatten
from mtl.errors import RunError
from mtl.runs.find import run_folders
from mtl.runs.folder import RunFolder
from mtl.runs.record import Record

if TYPE_CHECKING:
    import pandas as pd

NUMBERS = ("best_step", "seconds", "peak_memory", "frozen_unchanged", "error")


def load_runs(root: str | Path = "runs") -> pd.DataFrame:
    """Every run with a record as a row of a pandas DataFrame.

    Columns: `run_id`, `cell`, `seed`, `status`; settings (`config.train.lr`); metrics
    (`dev/sts/pearson`), with those of the last opening of test (`test/sts/pearson`); `best_step`,
    `seconds`, `peak_memory` (bytes), `frozen_unchanged`, `error`, `examples_per_second` and
    `tokens_per_second`. A run in progress is left out, and a damaged one too, with a warning.

    Example:
        >>> import mtl
        >>> runs = mtl.load_runs("runs")  # doctest: +SKIP
        >>> runs.groupby("config.pairing")["dev/overall"].mean()  # doctest: +SKIP
    """
    import pandas as pd

    rows = []
    for folder in run_folders(Path(root)):
        try:
            record = folder.record()
            if record is not None:
                rows.append(_row(folder, record))
        except RunError as error:
            warnings.warn(str(error), stacklevel=2)
    return pd.DataFrame(rows)


def differences(records: Sequence[Record]) -> dict[str, list[Any]]:
    """The settings in which runs differ: dotted key -> its value in each run, None where absent."""
    configs = [flatten(record.config) for record in records]
    keys = dict.fromkeys(key for config in configs for key in config)
    values = {key: [config.get(key) for config in configs] for key in keys}
    return {
        key: by_run for key, by_run in values.items() if any(value != by_run[0] for value in by_run)
    }


def _row(folder: RunFolder, record: Record) -> dict[str, Any]:
    row: dict[str, Any] = {
        key: getattr(record, key) for key in ("run_id", "cell", "seed", "status")
    }
    row |= {f"config.{key}": value for key, value in flatten(record.config).items()}
    row |= record.metrics
    for opening in folder.openings()[-1:]:
        row |= {} if opening.before_fresh else opening.metrics
    row |= {key: getattr(record, key) for key in NUMBERS}
    return row | record.throughput.model_dump()
