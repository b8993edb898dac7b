"""Claims of a paper, judged on our runs: the numbers each rests on, and the published ones beside them."""

from __future__ import annotations

from mtl.ablation import sentences as words
from mtl.ablation.claims import Claim
from mtl.ablation.results import ClaimResult
from mtl.report.document import NOTHING, Block, Paragraph, Section, columns, table, text
from mtl.report.material import Material
from mtl.report.wording import mean_sd, names
from mtl.stats import verdicts as stats

MEANING = (
    "Reproduced: the verdict on the comparison is what the claim expects. Contradicted: it is the opposite, or an effect where none was "
    "claimed. No difference at this scale: none was found inside the margin, where an effect was claimed. Undecided: more seeds or "
    "examples are needed. Claims of an effect count as found only after Holm's correction over all claims that are comparisons, at the "
    "level of the report; a claim of no difference is reproduced where the interval lies inside the margin, which needs no correction."
)


def section(material: Material) -> Section | None:
    if not material.claims:
        return None
    judged = [one for group in material.groups for one in group.results.claims]
    rows = []
    for one in judged:
        claim = one.claim
        rows.append((
            text(claim.claim), text(_comparison(material, claim)), text(claim.expect), text(_found(one)),
            text(_published(claim)), text(one.judged), text(_why(one)),
        ))  # fmt: skip
    heads = columns(
        "claim", "on", "expected", "found", "published", "judged", "because", kinds="ttttttt"
    )
    count = {
        word: sum(one.judged == word for one in judged)
        for word in dict.fromkeys(one.judged for one in judged)
    }
    summary = ", ".join(f"{number} {word}" for word, number in count.items())
    blocks: list[Block] = [
        Paragraph(text=f"{len(judged)} claims: {summary}.", tone="verdict"),
        table("claims", heads, rows),
    ]
    blocks.append(Paragraph(text=MEANING))
    left = [claim.claim for claim in material.claims if claim not in [one.claim for one in judged]]
    if left:
        blocks.append(
            Paragraph(
                text=f"Not judged, as their arms were not scored on the same rows by the same rule: {names(left)}."
            )
        )
    return Section(title="Claims", key="claims", blocks=tuple(blocks))


def _comparison(material: Material, claim: Claim) -> str:
    if claim.expect in ("worst class", "train above dev"):
        label = f", class {claim.label}" if claim.label is not None else ""
        return f"{claim.task}{label}: {claim.arm}"
    return f"{claim.task}: {claim.arm} against {claim.than or material.results.baseline}"


def _found(one: ClaimResult) -> str:
    if one.verdict is not None:
        return words.span(one.verdict.estimate) if one.verdict.estimate else one.verdict.text
    said = []
    for key, values in one.numbers.items():
        known = [value for value in values if value is not None]
        said.append(f"{key} {mean_sd(stats.summarise(known))}" if known else f"{key} undefined")
    return ", ".join(said)


def _published(claim: Claim) -> str:
    published = claim.published
    if published is None:
        return NOTHING
    arm = "" if published.arm is None else f"{published.arm:.3f}"
    than = "" if published.than is None else f" against {published.than:.3f}"
    gap = (
        ""
        if published.arm is None or published.than is None
        else f" ({published.arm - published.than:+.3f})"
    )
    return f"{arm}{than}{gap}{f', {published.where}' if published.where else ''}" or NOTHING


def _why(one: ClaimResult) -> str:
    if one.verdict is None:
        return "seed by seed"
    needed = one.verdict.text.removeprefix("undecided: ")
    return (
        one.verdict.reason
        if one.verdict.word != "undecided"
        else f"{one.verdict.reason}; to decide: {needed}"
    )
