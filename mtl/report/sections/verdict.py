"""The verdict first, in words: what helped, by how much, at what cost, and how sure that is."""

from __future__ import annotations

from mtl.ablation import sentences as words
from mtl.ablation.results import ArmResult, Results
from mtl.report.document import Block, Listing, Paragraph, Section
from mtl.report.material import Material
from mtl.report.wording import joined, mean_sd, names, plural

MOST_NAMED = 3
"""Arms that cannot be compared are named up to this number, else counted: the tables name them."""

WORDS = {
    "helps": "Helps",
    "hurts": "Hurts",
    "no difference": "No difference",
    "undecided": "Undecided",
    "no verdict": "No verdict",
}


def section(material: Material) -> Section:
    if material.kind == "run":
        return _of_run(material)
    results = material.results
    blocks: list[Block] = [Paragraph(text=headline(results), tone="verdict")]
    others = [arm for arm in results.arms[1:] if results.primary in arm.verdicts or not arm.seeds]
    if others:
        blocks.append(Listing(items=tuple(said_of(arm, results) for arm in others)))
    judged = [claim.judged for group in material.groups for claim in group.results.claims]
    if judged:
        counts = joined([f"{judged.count(word)} {word}" for word in dict.fromkeys(judged)])
        blocks.append(Paragraph(text=f"Of {plural(len(judged), 'claim')}: {counts}."))
    blocks.append(Paragraph(text=meaning(material)))
    seeds = {len(seeds) for seeds in material.seeds.values()}
    if max(seeds) == 1:
        blocks.append(Paragraph(
            text="One seed an arm: nothing here is a verdict, since the luck of one seed cannot be told from an effect. "
            "Add seeds, as in seeds: [0, 1, 2].", tone="warning",
        ))  # fmt: skip
    for group in material.groups[1:]:
        apart = names([arm.name for arm in group.results.arms])
        blocks.append(Paragraph(
            text=f"Not compared: {apart} ({group.what}). Scored on other rows or by another rule than the baseline; "
            "their scores stand in tables of their own.", tone="warning",
        ))  # fmt: skip
    return Section(title="Verdict", key="verdict", blocks=tuple(blocks))


def headline(results: Results) -> str:
    """Which arms help, hurt, do nothing, and which are not decided, in one line."""
    by_word: dict[str, list[str]] = {}
    for arm in results.arms:
        verdict = arm.verdicts.get(results.primary)
        if verdict is not None:
            gain = "" if verdict.estimate is None else f" ({verdict.estimate.value:+.3f})"
            by_word.setdefault(verdict.word, []).append(
                f"{arm.name}{gain if verdict.word in ('helps', 'hurts') else ''}"
            )
    said = [f"{title}: {names(by_word[word])}." for word, title in WORDS.items() if word in by_word]
    apart = [arm.name for arm in results.arms[1:] if results.primary not in arm.verdicts]
    if apart:
        which = names(apart) if len(apart) <= MOST_NAMED else f"{len(apart)} arms"
        said.append(f"Not comparable on {results.primary}, as their tasks are others: {which}.")
    return " ".join(said) or "There is no other arm to compare with the baseline."


def said_of(arm: ArmResult, results: Results) -> str:
    """The verdict on an arm in a sentence; of an arm without a score, why it has none."""
    if arm.seeds or not arm.missing:
        return words.sentence(arm, results)
    reasons: dict[str, list[str]] = {}
    for seed, reason in arm.missing.items():
        reasons.setdefault(reason, []).append(str(seed))
    return f"{arm.name}: no scores. " + "; ".join(
        f"seed {', '.join(seeds)}: {why}" for why, seeds in reasons.items()
    )


def meaning(material: Material) -> str:
    """What the words rest on."""
    results = material.results
    looks = f" The level allows for {results.looks} looks at the data." if results.looks > 1 else ""
    return (
        f"Differences are of {results.primary} on dev, arm minus {results.baseline}, paired by seed and by example; both count as "
        f"luck in the {100 * material.level:.3g} % intervals. Helps or hurts: the interval is clear of 0, also after Holm's correction over "
        f"the arms. No difference: it lies inside ±{results.margin:g}. Anything else is undecided.{looks}"
    )


def _of_run(material: Material) -> Section:
    arm: ArmResult = material.baseline
    if not arm.scores:
        reason = joined([f"seed {seed}: {reason}" for seed, reason in arm.missing.items()])
        text = f"No scores. {reason}"
    else:
        text = (
            "Dev: "
            + ", ".join(f"{score} {mean_sd(found)}" for score, found in arm.scores.items())
            + "."
        )
    blocks = (
        Paragraph(text=text, tone="verdict"),
        Paragraph(
            text=f"{plural(1, 'run')} on one seed: how much of this is luck, no single run can tell. mtl ablate compares arms over seeds."
        ),
    )
    return Section(title="Verdict", key="verdict", blocks=blocks)
