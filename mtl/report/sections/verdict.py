"""The verdict first, in words: what helped, by how much, at what cost, and how certain that is."""

from __future__ import annotations

from mtl.ablation.margins import margin_text
from mtl.ablation.results import ArmResult, Results
from mtl.ablation.sentences import basis, by_action, next_step, notes, sentence
from mtl.grid.wording import joined, mean_sd, plural
from mtl.report.data import ReportData
from mtl.report.document import Block, Listing, Paragraph, Section
from mtl.report.wording import names

MOST_NAMED = 3
"""Up to this many arms that cannot be compared are named; more are counted."""


def section(data: ReportData) -> Section:
    """The section that leads the report."""
    blocks = _blocks_of_run(data) if data.is_single_run else _blocks_of_grid(data)
    return Section(title="Verdict", key="verdict", blocks=tuple(blocks))


def _blocks_of_grid(data: ReportData) -> list[Block]:
    results = data.results
    blocks: list[Block] = [Paragraph(text=headline(results), tone="verdict")]
    for action, arms in by_action(results).items():
        items = tuple(verdict_on(arm, results) for arm in arms)
        blocks += [Paragraph(text=f"{action}:"), Listing(items=items)]
    unscored = [
        arm
        for arm in results.arms[1:]
        if not arm.seeds and arm.missing and results.primary not in arm.verdicts
    ]
    if unscored:
        blocks.append(Listing(items=tuple(verdict_on(arm, results) for arm in unscored)))
    if line := next_step(results):
        blocks.append(Paragraph(text=line))
    judged = [claim.judged for group in data.groups for claim in group.claims]
    if judged:
        counts = joined([f"{judged.count(word)} {word}" for word in dict.fromkeys(judged)])
        blocks.append(Paragraph(text=f"Of {plural(len(judged), 'claim')}: {counts}."))
    blocks.append(Paragraph(text=explanation(results)))
    if lines := notes(results):
        blocks.append(Listing(items=tuple(lines)))
    return blocks + _warnings(data)


def _warnings(data: ReportData) -> list[Block]:
    warnings: list[Block] = []
    if max(len(seeds) for seeds in data.design.runs.values()) == 1:
        warnings.append(Paragraph(
            text="One seed an arm: nothing here is a verdict, since the luck of one seed cannot "
            "be told from an effect. "
            "Add seeds, as in seeds: [0, 1, 2].", tone="warning",
        ))  # fmt: skip
    for group in data.groups[1:]:
        arms = names([arm.name for arm in group.arms])
        warnings.append(Paragraph(
            text=f"Not compared: {arms} ({group.basis}). Scored on other rows or by another rule "
            "than the baseline; "
            "their scores stand in tables of their own.", tone="warning",
        ))  # fmt: skip
    return warnings


def headline(results: Results) -> str:
    """What to do with the arms, in one line."""
    parts = []
    for action, arms in by_action(results).items():
        parts.append(f"{action}: {names([_with_number(arm, results) for arm in arms])}.")
    apart = [arm.name for arm in results.arms[1:] if results.primary not in arm.verdicts]
    if apart:
        which = names(apart) if len(apart) <= MOST_NAMED else plural(len(apart), "arm")
        parts.append(f"Not comparable on {results.primary}, as their tasks are others: {which}.")
    return " ".join(parts) or "There is no other arm to compare with the baseline."


def _with_number(arm: ArmResult, results: Results) -> str:
    """`concat (+0.043)`, `smart (below 0.027)`: the effect, or the most that it can be."""
    verdict = arm.verdicts[results.primary]
    if verdict.estimate is not None and verdict.word in ("helps", "hurts"):
        return f"{arm.name} ({verdict.estimate.value:+.3f})"
    return arm.name if verdict.bound is None else f"{arm.name} (below {verdict.bound:.3f})"


def verdict_on(arm: ArmResult, results: Results) -> str:
    """The verdict on an arm in a sentence; for an arm without a score, why it has none."""
    if arm.seeds or not arm.missing:
        return sentence(arm, results)
    seeds: dict[str, list[str]] = {}
    for seed, reason in arm.missing.items():
        seeds.setdefault(reason, []).append(str(seed))
    reasons = "; ".join(f"seed {', '.join(of)}: {reason}" for reason, of in seeds.items())
    return f"{arm.name}: no scores. {reasons}"


def explanation(results: Results) -> str:
    """What the words of the verdicts mean."""
    looks = (
        f" The arms were judged {results.looks} times with other seeds; the levels allow for it."
        if results.looks > 1
        else ""
    )
    return (
        f"Differences are of {results.primary} on dev, arm minus {results.baseline}, paired by "
        f"seed and by example; both count as luck. {basis(results)} Keep (helps) and drop "
        "(hurts): the interval is clear of 0, also after Holm's correction over the arms. No "
        "difference: the 90 % interval lies inside the margin, "
        f"{margin_text(results.margins)}. Not worse, not better: it lies on one side of it. "
        "Undecided is not no: any difference up to the bound may be "
        f"there.{looks}"
    )


def _blocks_of_run(data: ReportData) -> list[Block]:
    arm = data.baseline
    if arm.scores:
        scores = ", ".join(
            f"{score} {mean_sd(summary, count=True)}" for score, summary in arm.scores.items()
        )
        text = f"Dev: {scores}."
    else:
        reasons = joined([f"seed {seed}: {reason}" for seed, reason in arm.missing.items()])
        text = f"No scores. {reasons}"
    return [
        Paragraph(text=text, tone="verdict"),
        Paragraph(
            text="1 run on one seed: how much of this is luck, no single run can tell. mtl ablate "
            "compares arms over seeds."
        ),
    ]
