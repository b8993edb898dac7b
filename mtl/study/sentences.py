"""The results of a study as sentences and tables: for the terminal, W&B and reports."""

from __future__ import annotations

from mtl.grid.wording import duration, mean_sd
from mtl.study.results import Fresh, StudyResults, TrialResult
from mtl.study.space import in_words


def values_in_words(trial: TrialResult, results: StudyResults) -> str:
    """`dev/overall 0.543`, one objective after another."""
    pairs = zip(results.objectives, trial.values, strict=True)
    return ", ".join(f"{objective.key} {value:.3f}" for objective, value in pairs)


def winner(results: StudyResults) -> list[str]:
    """Sentences on the best trials: point, score, score on fresh seeds."""
    if not results.front:
        return ["No trial is done yet."]
    lines = []
    fresh = {result.trial: result for result in results.fresh}
    for trial in results.winners():
        name = "Best" if len(results.objectives) == 1 else "On the front"
        seeds = ", ".join(map(str, results.seeds))
        lines.append(f"{name}: trial {trial.number}: {in_words(trial.point) or 'the base'}")
        several = "s" if len(results.seeds) > 1 else ""
        score = values_in_words(trial, results)
        lines.append(f"  the score that won: {score} (seed{several} {seeds})")
        if trial.number in fresh:
            lines.append(f"  {fresh_in_words(fresh[trial.number])}")
    return lines


def fresh_in_words(fresh: Fresh) -> str:
    """`on fresh seeds 1, 2, 3: dev/overall 0.531 ± 0.006 (sd, n=3)`."""
    if not fresh.seeds:
        return "on fresh seeds: not run yet"
    scores = ", ".join(f"{key} {mean_sd(score, count=True)}" for key, score in fresh.scores.items())
    missing = ", ".join(f"{seed} ({reason})" for seed, reason in fresh.missing.items())
    more = f"; missing: {missing}" if missing else ""
    seeds = ", ".join(map(str, fresh.seeds))
    return f"on fresh seeds {seeds}: {scores or 'undefined'}{more}"


def effort(results: StudyResults) -> str:
    """One sentence on the number of trials, on pruning, and on time."""
    own, known = len(results.own), len(results.counted) - len(results.own)
    parts = [f"{len(results.counted)} trials"]
    if known:
        parts.append(f"{known} of them points tried before")
    pruned = sum(trial.outcome == "pruned" for trial in results.own)
    if results.pruned_share is not None and results.saved_share is not None:
        saved = f"which saved {results.saved_share:.0%} of the steps"
        parts.append(f"{pruned} of {own} pruned ({results.pruned_share:.0%}), {saved}")
    for outcome in ("diverged", "undefined", "failed", "refused"):
        if number := sum(trial.outcome == outcome for trial in results.trials):
            parts.append(f"{number} {outcome}")
    return f"{'; '.join(parts)}; {duration(results.seconds)} of searching."


def trial_table(results: StudyResults) -> tuple[list[str], list[list[str]]]:
    """A row for each trial, except lost and surplus ones: number, objectives, end, point."""
    columns = ["trial", *(goal.key for goal in results.objectives), "ended", "steps", "point"]
    rows = []
    for trial in results.trials:
        if trial.outcome in ("lost", "surplus"):
            continue
        values = [f"{value:.4f}" for value in trial.values] or ["-"] * len(results.objectives)
        ended = trial.outcome if trial.same_as is None else f"as trial {trial.same_as}"
        steps = f"{trial.steps}/{trial.all_steps}" if trial.all_steps else "-"
        name = f"{trial.first}: " if trial.first else ""
        rows.append([str(trial.number), *values, ended, steps, name + in_words(trial.point)])
    return columns, rows


def importance_table(
    results: StudyResults, objective: str
) -> tuple[list[str], list[list[str]], list[str]]:
    """The importances for an objective: columns, a row for each parameter, and notes.

    There is a column for each evaluator. Notes say what could not be estimated.
    """
    estimates = [each for each in results.importances if each.objective == objective]
    names = [name for name in results.space if any(name in each.shares for each in estimates)]
    names.sort(key=lambda name: -max(each.shares.get(name, 0.0) for each in estimates))
    rows = [
        [name, *(f"{each.shares[name]:.2f}" if name in each.shares else "-" for each in estimates)]
        for name in names
    ]
    notes = [f"{each.evaluator}: {each.reason}." for each in estimates if each.reason]
    for each in estimates:
        if each.shares and each.left_out:
            left_out = ", ".join(each.left_out)
            notes.append(f"{each.evaluator} does not judge conditional parameters: {left_out}.")
    return ["parameter", *(each.evaluator for each in estimates)], rows, notes


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
