"""Results in words and rows: what the terminal, W&B and reports say of an arm, said in one place."""

from __future__ import annotations

import math

from mtl.ablation.results import ArmResult, Results, Score, scores_of
from mtl.stats import verdicts as stats
from mtl.tasks.registry import TASKS


def mean_sd(summary: stats.Summary | None) -> str:
    """`0.812 ± 0.006`: mean and sample standard deviation; no spread for one seed; `-` for none."""
    if summary is None:
        return "-"
    spread = "" if summary.sd is None else f" ± {summary.sd:.3f}"
    return f"{summary.mean:.3f}{spread}"


def span(estimate: stats.Estimate | None, level: float = 0.95) -> str:
    """`+0.031 [+0.012, +0.050]`: a difference and its interval."""
    if estimate is None:
        return "-"
    value, low, high = signed(estimate.value, *estimate.interval(level))
    return f"{value} [{low}, {high}]"


def signed(*values: float) -> list[str]:
    """`+0.031`: numbers that belong together, with three decimals, or more where the largest would be 0.001 or nothing at that.

    What is none at that has no sign.
    """
    largest = max(map(abs, values))
    decimals = (
        3 if largest >= 0.0015 or largest == 0 else min(9, max(4, math.ceil(-math.log10(largest))))
    )
    rounded = [round(value, decimals) for value in values]
    return [f"{value:+.{decimals}f}" if value else f"{0:.{decimals}f}" for value in rounded]


def cost(arm: ArmResult, baseline: ArmResult) -> str:
    """`21 s (x1.4)`: a run's mean seconds, and how many times the baseline's."""
    if arm.seconds is None:
        return "-"
    times = ""
    if arm is not baseline and baseline.seconds is not None and baseline.seconds.mean > 0:
        times = f" (x{arm.seconds.mean / baseline.seconds.mean:.2f})"
    return f"{arm.seconds.mean:.0f} s{times}"


def by_task(arm: ArmResult, results: Results) -> str:
    """The verdicts on single tasks that are decided: `helps quora +0.07, hurts sst -0.02`."""
    decided = []
    for score, verdict in arm.verdicts.items():
        if (
            score != results.primary
            and verdict.word in ("helps", "hurts")
            and verdict.estimate is not None
        ):
            decided.append(f"{verdict.word} {score} {verdict.estimate.value:+.3f}")
    return ", ".join(decided)


def sentence(arm: ArmResult, results: Results) -> str:
    """The verdict on an arm in a sentence, with its interval and its cost."""
    score: Score = results.primary
    verdict = arm.verdicts.get(score)
    if verdict is None:
        return f"{arm.name}: trained on {', '.join(arm.tasks)} only; see its tasks and the claims."
    if verdict.estimate is None:
        return f"{arm.name}: {verdict.text}."
    level = f"{100 * verdict.level:.3g} %"
    tasks = by_task(arm, results)
    value, low, high = signed(verdict.estimate.value, *verdict.estimate.interval(verdict.level))
    if verdict.word == "undecided":
        found = verdict.estimate.detectable(alpha=1 - verdict.level, comparisons=compared(results))
        tasks += f"{', ' if tasks else ''}{len(verdict.estimate.seeds)} seeds find {found:.3f} four times in five"
    return (
        f"{arm.name}: {verdict.text}; {score} {value}, {level} interval {low} to {high}"
        + (f" ({tasks})" if tasks else "")
        + f"; {cost(arm, results.arm(results.baseline))} a run."
    )


def compared(results: Results) -> int:
    """How many arms are judged together on the score that decides."""
    verdicts = (arm.verdicts.get(results.primary) for arm in results.arms)
    return sum(verdict is not None and verdict.estimate is not None for verdict in verdicts)


def best_of(results: Results) -> str:
    """What the best arm's score is worth, seen that it is the best of several; empty where there is one arm or none."""
    best = results.best_of
    if best is None or best.arms < 2:
        return ""
    expected = f"if none of the {best.arms} arms had an effect, the best of them would be expected to reach {best.expected:.3f}"
    if best.observed <= best.baseline:
        return f"No arm is above the baseline's {best.baseline:.3f}; {expected}."
    return f"Best: {best.arm}, {best.observed:.3f} against the baseline's {best.baseline:.3f}; {expected}."


def comparison(results: Results) -> tuple[list[str], list[list[str]]]:
    """The comparison table: columns, and a row an arm, as text."""
    baseline = results.arm(results.baseline)
    scores = [
        score
        for score in scores_of(tuple(TASKS))
        if any(score in arm.scores for arm in results.arms)
    ]
    columns = ["arm", "seeds", *scores, "difference [95 %]", "verdict", "cost"]
    rows = []
    for arm in results.arms:
        verdict = arm.verdicts.get(results.primary)
        said = "baseline" if arm is baseline else "see tasks" if verdict is None else verdict.word
        rows.append([
            arm.name,
            str(len(arm.seeds)),
            *(mean_sd(arm.scores.get(score)) for score in scores),
            span(None if verdict is None else verdict.estimate),
            said,
            cost(arm, baseline),
        ])  # fmt: skip
    return columns, rows
