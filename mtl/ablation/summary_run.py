"""A grid's own run in W&B: of type `report`, in the grid's group, with the comparison table and the scores of every arm."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mtl.ablation.results import Results
from mtl.ablation.sentences import comparison
from mtl.tracking.open import open_tracker
from mtl.tracking.outcome import WandbMode
from mtl.tracking.tracker import RunInfo, Table


def send_summary(results: Results, folder: Path, mode: WandbMode) -> None:
    """Log the results; like every copy in W&B it may fail without harm to the grid."""
    summary: dict[str, float | None] = {}
    for arm in results.arms:
        for score, found in arm.scores.items():
            summary[f"{arm.name}/{score}"] = found.mean
        for score, verdict in arm.verdicts.items():
            summary[f"{arm.name}/{score}/difference"] = (
                None if verdict.estimate is None else verdict.estimate.value
            )
    named = "\n".join([results.name, *(arm.cell for arm in results.arms)])
    info = RunInfo(
        run_id=f"report-{hashlib.sha256(named.encode()).hexdigest()[:12]}",
        config={
            "question": results.question,
            "baseline": results.baseline,
            "margin": results.margin,
        },
        folder=folder,
        group=results.name,
        job_type="report",
        tags=(),
        name=f"{results.name} report",
    )
    columns, rows = comparison(results)
    open_tracker(mode, info).finish(
        summary, table=Table(name="comparison", columns=columns, rows=rows)
    )
