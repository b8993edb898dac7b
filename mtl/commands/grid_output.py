"""How `mtl ablate` prints a plan and the results of a grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mtl.ablation.delta_table import delta_columns, delta_explanation, delta_row
from mtl.ablation.margins import margin_text
from mtl.ablation.sentences import (
    basis,
    best_of,
    by_action,
    comparison,
    effects_by_kind,
    factors_and_levels,
    judged,
    next_step,
    notes,
    sentence,
    span,
    variance,
    verdict_of_claim,
)
from mtl.commands.printing import make_table, stdout
from mtl.config.assignments import level_name
from mtl.grid.wording import duration, plural

if TYPE_CHECKING:
    from mtl.ablation.engine import Ablation, Grid
    from mtl.ablation.outlook import Outlook
    from mtl.ablation.results import ClaimResult, Results
    from mtl.grid.plan import Plan, PlannedRun


def plan_json(name: str, plan: Plan, outlooks: Sequence[Outlook]) -> dict[str, Any]:
    """A plan as plain data, with what it can find."""
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
    return {
        "name": name,
        "workers": plan.workers,
        "seconds": plan.seconds,
        "runs": runs,
        "finds": [asdict(outlook) for outlook in outlooks],
    }


def print_outlooks(outlooks: Sequence[Outlook]) -> None:
    """Print what a design can find, and warn of margins that are out of reach."""
    from mtl.ablation.outlook import warning

    if not outlooks:
        stdout().print("With one seed an arm nothing can be found: add seeds, as in seed=0,1,2.")
        return
    console = stdout()
    rows = [
        (
            one.score,
            f"{one.smallest:.3f}",
            f"{one.margin:g}",
            f"{100 * one.chance:.0f} %",
            "out of reach" if one.seeds is None else str(one.seeds),
            f"{one.resolved:.3f}",
        )
        for one in outlooks
    ]
    first = outlooks[0]
    seeds = plural(first.seeds_planned, "seed")
    source = "of the runs that are there" if first.measured else "of small BERT encoders"
    console.print(f"What {seeds} can find, with variances {source}:")
    columns = ["score", "finds", "margin", "no effect, said so", "seeds for the margin", "resolves"]
    console.print(make_table(columns, rows, numbers=range(1, 6)))
    console.print(
        "finds: the smallest difference found four times in five. No effect, said so: the chance "
        "that an arm without effect ends in no difference. Resolves: the margin for which that is "
        "80 %.",
        soft_wrap=True,
    )
    if line := warning(outlooks):
        console.print(f"warning: {line}", soft_wrap=True)


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
    """Print what to do with each arm, then the numbers, effects, claims and missing runs."""
    results, console = done.results, stdout(140)
    console.print(f"{results.name}: {results.question}", soft_wrap=True)
    for action, arms in by_action(results).items():
        console.print(f"{action}:", style="bold")
        for arm in arms:
            console.print(f"  {sentence(arm, results)}", soft_wrap=True)
    for arm in results.arms[1:]:
        if results.primary not in arm.verdicts:
            console.print(f"  {sentence(arm, results)}", soft_wrap=True)
    if line := next_step(results):
        console.print(line, soft_wrap=True)
    columns, rows = comparison(results)
    console.print(make_table(columns, rows, numbers=range(1, len(columns) - 2)))
    for line in explanation(results):
        console.print(line, soft_wrap=True)
    print_effects(results)
    print_delta(results)
    print_claims(results)
    failed = {
        (run.arm, run.config.seed): f"failed: {done.failures[run.run_id]}"
        for run in done.plan.runs
        if run.run_id in done.failures
    }
    for arm in results.arms:
        for seed, reason in arm.missing.items():
            reason = failed.get((arm.name, seed), reason)
            console.print(f"missing: {arm.name}, seed {seed}: {reason}", soft_wrap=True)
    for line in (*notes(results), best_of(results)):
        if line:
            console.print(line, soft_wrap=True)
    if all(len(arm.seeds) + len(arm.missing) == 1 for arm in results.arms):
        console.print("One seed gets no verdict. Add seeds, as in seed=0,1,2.")
    console.print(f"{trained_runs(done.trained)}; results in {done.folder}", soft_wrap=True)


def explanation(results: Results) -> list[str]:
    """How to read the table of scores, in sentences."""
    looks = (
        f" The data were judged {results.looks} times; the levels allow for it."
        if results.looks > 1
        else ""
    )
    return [
        f"{basis(results)} Scores are means over seeds, ± their sd. Differences from "
        f"{results.baseline} are paired by seed and example, and Holm-corrected over arms. Margin: "
        f"{margin_text(results.margins)}.{looks}",
        variance(results),
    ]


def print_effects(results: Results) -> None:
    """Print main effects, interactions and shares of the gain of a factor design."""
    rows = []
    for kind, effects in effects_by_kind(results).items():
        for effect in effects:
            number = span(effect.estimate) if effect.estimate else effect.reason
            rows.append((kind, factors_and_levels(effect), number))
    if rows:
        stdout().print(make_table(["effect", "of", f"on {results.primary} [95 %]"], rows))


def print_delta(results: Results) -> None:
    """Print the relative gains over single-task arms, where the definition asks for them."""
    delta = results.delta
    if delta is None or not delta.gains:
        return
    console, heads = stdout(140), delta_columns(delta)
    rows = [delta_row(gain, tuple(delta.singles)) for gain in delta.gains]
    console.print(make_table(heads, rows, numbers=range(1, len(heads) - 1)))
    console.print(delta_explanation(delta), soft_wrap=True)


def print_claims(results: Results) -> None:
    """Print each claim, its numbers, and how it was judged."""
    rows = [(claim.claim.claim, claim_numbers(claim), judged(claim)) for claim in results.claims]
    if rows:
        console = stdout()
        console.print(make_table(["claim", "found", "judged"], rows))
        console.print(
            "Claims are corrected within their family (Holm); * also holds over all claims.",
            soft_wrap=True,
        )


def claim_numbers(result: ClaimResult) -> str:
    """The numbers that a claim rests on."""
    if result.verdict is not None:
        return verdict_of_claim(result)
    means = []
    for key, values in result.numbers.items():
        known = [value for value in values if value is not None]
        means.append(f"{key} {sum(known) / len(known):.3f}" if known else f"{key} -")
    return ", ".join(means)
