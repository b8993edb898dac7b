"""A study's own run in W&B: of type `report`, in the study's group, with the table of trials and the best's scores."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mtl.study.results import StudyResults
from mtl.study.sentences import trial_table
from mtl.tracking.open import open_tracker
from mtl.tracking.outcome import WandbMode
from mtl.tracking.tracker import RunInfo, Table


def send_summary(results: StudyResults, folder: Path, mode: WandbMode) -> None:
    """Log the results; like every copy in W&B it may fail without harm to the study."""
    summary: dict[str, float | None] = {
        "trials": len(results.counted),
        "pruned_share": results.pruned_share,
        "steps_saved_share": results.saved_share,
    }
    if results.best is not None:
        summary["best/trial"] = results.best.number
        summary["best/value"] = results.best.values[0]
    for fresh in results.fresh:
        for key, score in fresh.scores.items():
            summary[f"fresh/trial {fresh.trial}/{key}"] = score.mean
    for one in results.importances:
        for name, share in one.shares.items():
            summary[f"importance/{one.objective}/{one.evaluator}/{name}"] = share
    named = "\n".join([results.name, *(trial.cell or "" for trial in results.trials)])
    info = RunInfo(
        run_id=f"report-{hashlib.sha256(named.encode()).hexdigest()[:12]}",
        config={
            "question": results.question,
            "space": dict(results.space),
            "sampler": results.sampler,
        },
        folder=folder,
        group=results.name,
        job_type="report",
        tags=(),
        name=f"{results.name} report",
    )
    columns, rows = trial_table(results)
    open_tracker(mode, info).finish(summary, table=Table(name="trials", columns=columns, rows=rows))
