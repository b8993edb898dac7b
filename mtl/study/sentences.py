"""What a study found in words and rows: for the terminal, W&B and reports, said in one place."""

from __future__ import annotations

from mtl.grid.wording import duration, mean_sd
from mtl.study.results import Fresh, StudyResults, TrialResult
from mtl.study.space import in_words


def values_in_words(trial: TrialResult, results: StudyResults) -> str:
    """`dev/overall 0.543`, an objective after the other."""
    pairs = zip(results.objectives, trial.values, strict=True)
    return ", ".join(f"{one.key} {value:.3f}" for one, value in pairs)


def winner(results: StudyResults) -> list[str]:
    """What won, what it scored, and what that is worth: sentences."""
    if not results.front:
        return ["No trial is done yet."]
    lines = []
    fresh = {one.trial: one for one in results.fresh}
    for trial in results.winners():
        name = "Best" if len(results.objectives) == 1 else "On the front"
        seeds = ", ".join(map(str, results.seeds))
        lines.append(f"{name}: trial {trial.number}: {in_words(trial.point) or 'the base'}")
        lines.append(
            f"  the score that won: {values_in_words(trial, results)} (seed{'s' * (len(results.seeds) > 1)} {seeds})"
        )
        if trial.number in fresh:
            lines.append(f"  {fresh_in_words(fresh[trial.number])}")
    return lines


def fresh_in_words(fresh: Fresh) -> str:
    """`on fresh seeds 1, 2, 3: dev/overall 0.531 ± 0.006 (n=3)`."""
    if not fresh.seeds:
        return "on fresh seeds: not run yet"
    scores = ", ".join(f"{key} {mean_sd(score)}" for key, score in fresh.scores.items())
    lacks = (
        f"; missing: {', '.join(f'{seed} ({why})' for seed, why in fresh.missing.items())}"
        if fresh.missing
        else ""
    )
    return f"on fresh seeds {', '.join(map(str, fresh.seeds))}: {scores} (sd, n={len(fresh.seeds)}){lacks}"


def effort(results: StudyResults) -> str:
    """How many trials there were, how many were pruned, what that saved, and how long it took."""
    own, known = len(results.own), len(results.counted) - len(results.own)
    parts = [f"{len(results.counted)} trials"]
    if known:
        parts.append(f"{known} of them points tried before")
    pruned = sum(one.outcome == "pruned" for one in results.own)
    if results.pruned_share is not None and results.saved_share is not None:
        parts.append(
            f"{pruned} of {own} pruned ({results.pruned_share:.0%}), which saved {results.saved_share:.0%} of the steps"
        )
    for outcome in ("diverged", "undefined", "failed", "refused"):
        if number := sum(one.outcome == outcome for one in results.trials):
            parts.append(f"{number} {outcome}")
    return f"{'; '.join(parts)}; {duration(results.seconds)} of searching."


def trial_table(results: StudyResults) -> tuple[list[str], list[list[str]]]:
    """A row a trial, the lost and surplus ones left out: number, objectives, how it ended, and the point."""
    columns = ["trial", *(one.key for one in results.objectives), "ended", "steps", "point"]
    rows = []
    for one in results.trials:
        if one.outcome in ("lost", "surplus"):
            continue
        values = [f"{value:.4f}" for value in one.values] or ["-"] * len(results.objectives)
        ended = one.outcome if one.same_as is None else f"as trial {one.same_as}"
        steps = f"{one.steps}/{one.all_steps}" if one.all_steps else "-"
        name = f"{one.first}: " if one.first else ""
        rows.append([str(one.number), *values, ended, steps, name + in_words(one.point)])
    return columns, rows


def importance_table(
    results: StudyResults, objective: str
) -> tuple[list[str], list[list[str]], list[str]]:
    """Columns, a row a parameter with its share by each evaluator, and notes on what could not be judged."""
    found = [one for one in results.importances if one.objective == objective]
    names = [name for name in results.space if any(name in one.shares for one in found)]
    names.sort(key=lambda name: -max(one.shares.get(name, 0.0) for one in found))
    rows = [
        [name, *(f"{one.shares[name]:.2f}" if name in one.shares else "-" for one in found)]
        for name in names
    ]
    notes = [f"{one.evaluator}: {one.reason}." for one in found if one.reason]
    notes += [f"{one.evaluator} does not judge parameters that come and go: {', '.join(one.left_out)}."
              for one in found if one.shares and one.left_out]  # fmt: skip
    return ["parameter", *(one.evaluator for one in found)], rows, notes


def tracked_numbers(results: StudyResults) -> dict[str, float | None]:
    """The numbers that count by path: of the best trial, of fresh seeds, and the importances."""
    numbers: dict[str, float | None] = {
        "trials": len(results.counted),
        "pruned_share": results.pruned_share,
        "steps_saved_share": results.saved_share,
    }
    if results.best is not None:
        numbers["best/trial"] = results.best.number
        numbers["best/value"] = results.best.values[0]
    for fresh in results.fresh:
        for key, score in fresh.scores.items():
            numbers[f"fresh/trial {fresh.trial}/{key}"] = score.mean
    for importance in results.importances:
        for name, share in importance.shares.items():
            numbers[f"importance/{importance.objective}/{importance.evaluator}/{name}"] = share
    return numbers
