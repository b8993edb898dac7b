"""What coordinators that are no more have left: trials that had finished are told, the others are queued again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mtl.errors import RunError
from mtl.runs.folder import RunFolder
from mtl.runs.record import Record
from mtl.study.attempt import values_of
from mtl.study.objectives import Objective
from mtl.study.trials import ALL_STEPS, RUNS, STEPS, Outcome, Trials


def take_up(
    trials: Trials, objectives: Sequence[Objective], root: Path, note: Callable[[str], None]
) -> None:
    """Tell what is finished; queue again what is not, and what an earlier kill kept from the queue."""
    trials.mend()
    for one in trials.abandoned():
        records = finished(root, one.user_attrs.get(RUNS, {}))
        if records is not None:
            values, why, by_run = values_of(records, objectives)
            steps = sum(record.steps or 0 for record in records.values())
            outcome: Outcome = "done" if values is not None else "undefined"
            trials.end(
                one.number, outcome, values, why, scores=by_run, **{STEPS: steps, ALL_STEPS: steps}
            )
        elif trials.end(one.number, "lost", reason="its coordinator ended before it did"):
            note(f"trial {one.number} was left unfinished: it is queued again")
            trials.again(one)


def finished(root: Path, named: Mapping[str, str]) -> dict[str, Record] | None:
    """The records of a trial's runs, if all are done."""
    found: dict[str, Record] = {}
    for run_id in named.values():
        try:
            record = RunFolder(root / run_id).record()
        except RunError:
            return None
        if record is None or record.status != "done":
            return None
        found[run_id] = record
    return found or None
