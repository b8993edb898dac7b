"""The record of a run that failed before it could write its own."""

from __future__ import annotations

from datetime import UTC, datetime

from mtl.config.schema import RunConfig
from mtl.runs.definitions import definitions_of
from mtl.runs.diagnostics import Diagnostics
from mtl.runs.record import SCHEMA, Data, Environment, Record, Throughput
from mtl.tracking.outcome import DISABLED


def failed_record(config: RunConfig, run_id: str, error: str) -> Record:
    """The record of a run that failed and could not write its own."""
    return Record(
        schema_version=SCHEMA,
        run_id=run_id,
        cell=run_id.rpartition("-s")[0],
        seed=config.seed,
        status="failed",
        config=config.resolved().model_dump(mode="json"),
        tasks=definitions_of(config.tasks),
        metrics={},
        undefined={},
        best_step=None,
        steps=None,
        seconds=None,
        throughput=Throughput(examples_per_second=None, tokens_per_second=None),
        peak_memory=None,
        diagnostics=Diagnostics(),
        frozen_unchanged=None,
        data=Data(),
        environment=Environment(),
        error=error,
        ended=datetime.now(UTC).isoformat(timespec="seconds"),
        wandb=DISABLED,
    )
