"""Results in words and rows, for the terminal, W&B and reports."""

from __future__ import annotations

from mtl.ablation.results import (
    ArmResult,
    ClaimResult,
    Difference,
    FactorEffect,
    Results,
    Score,
    scores_of,
)
from mtl.grid.wording import NOTHING, mean_sd, signed
from mtl.tasks.registry import TASKS


def span(difference: Difference | None) -> str:
    """`+0.031 [+0.012, +0.050]`: a difference and its 95 % interval."""
    if difference is None:
        return NOTHING
    value, low, high = signed(difference.value, difference.low, difference.high)
    return f"{value} [{low}, {high}]"


def cost(arm: ArmResult, baseline: ArmResult) -> str:
    """`21 s (x1.40)`: the mean seconds of a run, and how many times the baseline's."""
    if arm.seconds is None:
        return NOTHING
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
    if verdict.estimate is None or verdict.interval is None:
        return f"{arm.name}: {verdict.text}."
    notes = [by_task(arm, results)]
    if verdict.word == "undecided":
        seeds = len(verdict.estimate.seeds)
        notes.append(f"{seeds} seeds find {verdict.detectable:.3f} four times in five")
    details = ", ".join(filter(None, notes))
    value, low, high = signed(verdict.estimate.value, *verdict.interval)
    return (
        f"{arm.name}: {verdict.text}; {score} {value}, {100 * verdict.level:.3g} % interval {low} "
        f"to {high}"
        + (f" ({details})" if details else "")
        + f"; {cost(arm, results.arm(results.baseline))} a run."
    )


def best_of(results: Results) -> str:
    """The best arm's score, beside the best of as many arms without any effect.

    Empty where fewer than two arms compare with the baseline.
    """
    best = results.best_of
    if best is None or best.arms < 2:
        return ""
    expected = (
        f"if none of the {best.arms} arms had an effect, the best of them would be expected to "
        f"reach {best.expected:.3f}"
    )
    if best.observed <= best.baseline:
        return f"No arm is above the baseline's {best.baseline:.3f}; {expected}."
    return (
        f"Best: {best.arm}, {best.observed:.3f} against the baseline's {best.baseline:.3f}; "
        f"{expected}."
    )


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
        word = "baseline" if arm is baseline else "see tasks" if verdict is None else verdict.word
        rows.append([
            arm.name,
            str(len(arm.seeds)),
            *(mean_sd(arm.scores.get(score)) for score in scores),
            span(None if verdict is None else verdict.estimate),
            word,
            cost(arm, baseline),
        ])  # fmt: skip
    return columns, rows


def factors_and_levels(effect: FactorEffect) -> str:
    """`pairing=concat and pooling=mean`."""
    pairs = zip(effect.factors, effect.levels, strict=True)
    return " and ".join(f"{factor}={level}" for factor, level in pairs)


def effects_by_kind(results: Results) -> dict[str, tuple[FactorEffect, ...]]:
    """The effects of the factors under the names of their kinds."""
    return {
        "main effect": results.main_effects,
        "interaction": results.interactions,
        "share of the gain": results.shapley,
    }


def verdict_of_claim(result: ClaimResult) -> str:
    """The difference that a claim about two arms rests on, or why there is none."""
    assert result.verdict is not None
    return span(result.verdict.estimate) if result.verdict.estimate else result.verdict.text


def tracked_numbers(results: Results) -> dict[str, float | None]:
    """The scores and differences of every arm, by paths such as `better/overall/difference`."""
    numbers: dict[str, float | None] = {}
    for arm in results.arms:
        for score, summary in arm.scores.items():
            numbers[f"{arm.name}/{score}"] = summary.mean
        for score, verdict in arm.verdicts.items():
            difference = verdict.estimate
            numbers[f"{arm.name}/{score}/difference"] = (
                None if difference is None else difference.value
            )
    return numbers
