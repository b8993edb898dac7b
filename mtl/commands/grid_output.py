"""How `mtl ablate` prints a plan and the results of a grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mtl.ablation.sentences import (
    best_of,
    comparison,
    effects_by_kind,
    factors_and_levels,
    sentence,
    span,
    verdict_of_claim,
)
from mtl.commands.printing import make_table, stdout
from mtl.config.assignments import level_name
from mtl.grid.wording import duration, plural

if TYPE_CHECKING:
    from mtl.ablation.engine import Ablation, Grid
    from mtl.ablation.results import ClaimResult, Results
    from mtl.grid.plan import Plan, PlannedRun


def plan_json(name: str, plan: Plan) -> dict[str, Any]:
    """A plan as plain data."""
    runs = [
        {
            "arm": run.arm,
            "seed": run.config.seed,
            "run_id": run.run_id,
            "state": run.state,
            "seconds": run.seconds,
        }
        for run in plan.runs
    ]
    return {"name": name, "workers": plan.workers, "seconds": plan.seconds, "runs": runs}


def print_plan(grid: Grid, plan: Plan) -> None:
    """Print each arm: its changes from the baseline, its seeds by state, and the time left."""
    console = stdout()
    console.print(f"{grid.definition.name}: {grid.definition.question}", soft_wrap=True)
    rows = []
    for arm in grid.design.arms:
        runs = [run for run in plan.runs if run.arm == arm.name]
        changes = ", ".join(f"{key}={level_name(value)}" for key, value in arm.changes.items())
        also = f" (also {', '.join(arm.merged)})" if arm.merged else ""
        rows.append((arm.name + also, changes or "-", seeds_by_state(runs), time_left(runs)))
    columns = ["arm", "differs from the baseline", "seeds", "time"]
    console.print(make_table(columns, rows, numbers=(3,)))
    left = "nothing to train"
    if plan.pending:
        known = plan.seconds is not None
        time = (
            f"about {duration(plan.seconds or 0)}" if known else "time unknown before a first run"
        )
        left = f"{len(plan.pending)} to train with {plural(plan.workers, 'worker')}, {time}"
    arms = plural(len(grid.design.arms), "arm")
    console.print(f"{arms}, {plural(len(plan.runs), 'run')}: {left}.")


def seeds_by_state(runs: Sequence[PlannedRun]) -> str:
    """`done: 0, 1; missing: 2`."""
    states: dict[str, list[str]] = {}
    for run in runs:
        states.setdefault(run.state, []).append(str(run.config.seed))
    return "; ".join(f"{state}: {', '.join(seeds)}" for state, seeds in states.items())


def time_left(runs: Sequence[PlannedRun]) -> str:
    """Estimated training time of an arm's pending runs."""
    pending = [run.seconds for run in runs if not run.ended]
    known = [seconds for seconds in pending if seconds is not None]
    if not pending:
        return "done"
    return duration(sum(known) / len(known) * len(pending)) if known else "unknown"


def trained_runs(trained: int) -> str:
    """How many runs a command has trained."""
    return f"{plural(trained, 'run')} trained" if trained else "nothing to train: all runs are done"


def print_results(done: Ablation) -> None:
    """Print the verdicts as sentences and as a table, then effects, claims and missing runs."""
    results, console = done.results, stdout(140)
    console.print(f"{results.name}: {results.question}", soft_wrap=True)
    for arm in results.arms:
        if arm.name != results.baseline:
            console.print(f"  {sentence(arm, results)}", soft_wrap=True)
    columns, rows = comparison(results)
    console.print(make_table(columns, rows, numbers=range(1, len(columns) - 2)))
    console.print(
        f"dev scores, mean ± sd over seeds; differences from {results.baseline} are paired by seed "
        f"and example, Holm-corrected over arms; margin {results.margin:g}.",
        soft_wrap=True,
    )
    print_effects(results)
    print_claims(results)
    for arm in results.arms:
        for seed, reason in arm.missing.items():
            console.print(f"missing: {arm.name}, seed {seed}: {reason}", soft_wrap=True)
    if line := best_of(results):
        console.print(line, soft_wrap=True)
    if all(len(arm.seeds) + len(arm.missing) == 1 for arm in results.arms):
        console.print("One seed gets no verdict. Add seeds, as in seed=0,1,2.")
    console.print(f"{trained_runs(done.trained)}; results in {done.folder}", soft_wrap=True)


def print_effects(results: Results) -> None:
    """Print main effects, interactions and shares of the gain of a factor design."""
    rows = []
    for kind, effects in effects_by_kind(results).items():
        for effect in effects:
            number = span(effect.estimate) if effect.estimate else effect.reason
            rows.append((kind, factors_and_levels(effect), number))
    if rows:
        stdout().print(make_table(["effect", "of", f"on {results.primary} [95 %]"], rows))


def print_claims(results: Results) -> None:
    """Print each claim, its numbers, and how it was judged."""
    rows = [(claim.claim.claim, claim_numbers(claim), claim.judged) for claim in results.claims]
    if rows:
        stdout().print(make_table(["claim", "found", "judged"], rows))


def claim_numbers(result: ClaimResult) -> str:
    """The numbers that a claim rests on."""
    if result.verdict is not None:
        return verdict_of_claim(result)
    means = []
    for key, values in result.numbers.items():
        known = [value for value in values if value is not None]
        means.append(f"{key} {sum(known) / len(known):.3f}" if known else f"{key} -")
    return ", ".join(means)
