"""Results in words and rows, for the terminal, W&B and reports."""

from __future__ import annotations

from collections.abc import Sequence

from mtl.ablation.results import (
    ArmResult,
    ClaimResult,
    Difference,
    FactorEffect,
    Results,
    Score,
    Verdict,
    scores_of,
)
from mtl.grid.wording import NOTHING, duration, mean_sd, plural, signed
from mtl.stats.decision import OPEN
from mtl.stats.projection import MOST_MORE_SEEDS, SMALL_CHANCE
from mtl.stats.summary import Summary
from mtl.tasks.registry import TASKS

ACTIONS: dict[str, tuple[str, ...]] = {
    "Keep": ("helps",),
    "Drop": ("hurts",),
    "No difference": ("no difference",),
    "Not known yet": OPEN,
    "No verdict": ("no verdict",),
}
"""What to do, and the words of the verdicts that say so."""


def span(difference: Difference | None) -> str:
    """`+0.031 [+0.012, +0.050]`: a difference and its interval."""
    if difference is None:
        return NOTHING
    value, low, high = signed(difference.value, difference.low, difference.high)
    return f"{value} [{low}, {high}]"


def percent(level: float) -> str:
    """`95 %`, `98.1 %`."""
    return f"{100 * level:.3g} %"


def level_of(differences: Sequence[Difference | None]) -> str:
    """`95 %`, the level of intervals that stand together; `interval` where they differ."""
    levels = {percent(one.level) for one in differences if one is not None}
    return "interval" if len(levels) > 1 else levels.pop() if levels else "95 %"


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


def by_action(results: Results) -> dict[str, list[ArmResult]]:
    """The arms with a verdict on the score that decides, by what to do with them."""
    groups: dict[str, list[ArmResult]] = {action: [] for action in ACTIONS}
    for arm in results.arms[1:]:
        verdict = arm.verdicts.get(results.primary)
        for action, words in ACTIONS.items():
            if verdict is not None and verdict.word in words:
                groups[action].append(arm)
    return {action: arms for action, arms in groups.items() if arms}


def sentence(arm: ArmResult, results: Results) -> str:
    """The verdict on an arm in a sentence, with its interval, its cost and what is still open."""
    score: Score = results.primary
    verdict = arm.verdicts.get(score)
    if verdict is None:
        return f"{arm.name}: trained on {', '.join(arm.tasks)} only; see its tasks and the claims."
    if verdict.estimate is None:
        return f"{arm.name}: {verdict.text}."
    open_words = verdict.text.partition(": ")[2].partition("; ")[0]
    parts = [
        f"{verdict.word}{exploratory(verdict)}" + (f", {open_words}" if open_words else ""),
        f"{score} {span(verdict.estimate)}",
        f"{cost(arm, results.arm(results.baseline))} a run",
        by_task(arm, results),
        to_decide(arm, results),
    ]
    return f"{arm.name}: {'; '.join(filter(None, parts))}."


def exploratory(verdict: Verdict | None) -> str:
    """` (exploratory)` for a comparison that was chosen after its runs were there."""
    return " (exploratory)" if verdict is not None and verdict.planned is False else ""


def to_decide(arm: ArmResult, results: Results) -> str:
    """What it would cost to know: `to decide: about 4 more seeds, 8 runs, about 12 min`."""
    verdict = arm.verdicts.get(results.primary)
    if verdict is None or verdict.word not in OPEN:
        return ""
    more = verdict.more_seeds
    if verdict.chance is not None and verdict.chance < SMALL_CHANCE:
        return f"set aside for now: {percent(verdict.chance)} chance to be decided as planned"
    if more is None:
        return "no number of seeds decides it; more dev examples are needed"
    if more > MOST_MORE_SEEDS:
        return f"over {MOST_MORE_SEEDS} more seeds to decide"
    seconds = [one.seconds for one in (arm, results.arm(results.baseline))]
    known = [one.mean for one in seconds if one is not None]
    time = f", about {duration(more * sum(known))} of training" if len(known) == 2 else ""
    return f"to decide: about {plural(more, 'more seed')}, {2 * more} runs with the baseline{time}"


def next_step(results: Results, *, most: int = 20) -> str:
    """The command that decides the arms that up to `most` more seeds decide; "" without any."""
    needed = {
        arm.name: verdict.more_seeds
        for arm in results.arms
        if (verdict := arm.verdicts.get(results.primary)) is not None
        and verdict.word in OPEN
        and verdict.more_seeds is not None
        and verdict.more_seeds <= most
    }
    if not needed:
        return ""
    seeds = len(results.arm(results.baseline).seeds)
    return (
        f"To decide {plural(len(needed), 'more arm')}: mtl ablate --grid {results.name} "
        f"--until-decided --max-seeds {seeds + max(needed.values())}"
    )


def notes(results: Results) -> list[str]:
    """What a reader must know of single arms: floors, collapsed and odd seeds."""
    floors = [f"{arm.name} ({', '.join(arm.floor)})" for arm in results.arms if arm.floor]
    collapsed = [
        f"{arm.name}, seed {seed} ({reason})"
        for arm in results.arms
        for seed, reason in arm.collapsed.items()
    ]
    lines = []
    if floors:
        lines.append(f"At floor, where a constant output scores as much: {'; '.join(floors)}.")
    if collapsed:
        lines.append(f"Collapsed to a constant output, and counted: {'; '.join(collapsed)}.")
    for arm in results.arms:
        verdict = arm.verdicts.get(results.primary)
        for flag in () if verdict is None else verdict.flags:
            lines.append(f"{arm.name}: {flag}; take its interval with care.")
    return lines


def basis(results: Results) -> str:
    """Which dev scores are judged, in a sentence; "" where there are none."""
    bases = {name for arm in results.arms for name in arm.basis.split(", ") if name}
    meaning = {
        "cross-fitted": "cross-fitted (the checkpoint for each half of dev is chosen on the other)",
        "last epoch": "those of the last epoch (there are no cross-fitted ones)",
        "best on dev": "the best on dev, chosen on the same rows",
    }
    found = [words for name, words in meaning.items() if name in bases]
    return f"Judged scores are {' and '.join(found)}." if found else ""


def variance(results: Results) -> str:
    """How much of the variance is borrowed from the grid: d0 and lambda of the main score."""
    prior = results.priors.get(results.primary)
    if prior is None or prior.df <= 0:
        return "Each comparison has its own variance only: there is no grid to borrow from."
    return (
        f"Variances borrow {prior.df:.1f} degrees of freedom from the grid (d0); its seeds vary "
        f"{prior.scale:.2g} times as much as flips of single examples make (lambda)."
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
    baseline, primary = results.arm(results.baseline), results.primary
    scores = [
        score
        for score in scores_of(tuple(TASKS))
        if any(score in arm.scores for arm in results.arms)
    ]
    level = level_of([one.estimate for arm in results.arms if (one := arm.verdicts.get(primary))])
    columns = ["arm", "seeds", *scores, "best, last", f"difference [{level}]", "P(> 0)"]
    columns += ["verdict", "cost"]
    rows = []
    for arm in results.arms:
        verdict = arm.verdicts.get(primary)
        word = "baseline" if arm is baseline else "see tasks" if verdict is None else verdict.word
        rows.append([
            arm.name,
            str(len(arm.seeds)),
            *(
                mean_sd(arm.scores.get(score)) if score == primary else _mean(arm.scores.get(score))
                for score in scores
            ),
            f"{_mean(arm.best.get(primary))}, {_mean(arm.last.get(primary))}",
            span(None if verdict is None else verdict.estimate),
            probability(verdict),
            f"{word}{exploratory(verdict)}",
            cost(arm, baseline),
        ])  # fmt: skip
    return columns, rows


def _mean(summary: Summary | None) -> str:
    return NOTHING if summary is None else f"{summary.mean:.3f}"


def probability(verdict: Verdict | None) -> str:
    """`98 %`: the probability of an effect above 0; never said to be certain."""
    if verdict is None or verdict.probability is None:
        return NOTHING
    value = verdict.probability
    return "> 99 %" if value > 0.99 else "< 1 %" if value < 0.01 else f"{100 * value:.0f} %"


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


def judged(result: ClaimResult) -> str:
    """How a claim was judged, with its marks: `reproduced *`, `undecided (exploratory)`."""
    star = " *" if result.survives else ""
    return result.judged + star + (" (exploratory)" if result.planned is False else "")


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
    for gain in () if results.delta is None else results.delta.gains:
        numbers[f"{gain.arm}/delta"] = None if gain.estimate is None else gain.estimate.value
    return numbers
