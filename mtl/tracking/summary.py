"""The W&B run of a whole grid or study: type `report`, with a table and the main numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtl.tracking.open import open_tracker
from mtl.tracking.outcome import WandbMode
from mtl.tracking.tracker import RunInfo, Table


def send_summary(
    name: str,
    *,
    cells: Sequence[str],
    config: Mapping[str, Any],
    summary: Mapping[str, float | None],
    table: Table,
    folder: Path,
    mode: WandbMode,
) -> None:
    """Log the results of a grid or study. It does not raise where W&B fails.

    The run's id is a hash of `name` and `cells`: the same grid is the same run in W&B.
    """
    digest = hashlib.sha256("\n".join([name, *cells]).encode()).hexdigest()[:12]
    info = RunInfo(
        run_id=f"report-{digest}",
        config=dict(config),
        folder=folder,
        group=name,
        job_type="report",
        tags=(),
        name=f"{name} report",
    )
    open_tracker(mode, info).finish(dict(summary), table=table)
