"""Claims of a paper, judged on our runs, beside the published numbers."""

from __future__ import annotations

from mtl.ablation.claim_results import expected_false
from mtl.ablation.claims import ALONE, Claim
from mtl.ablation.results import ClaimResult
from mtl.ablation.sentences import judged as judged_words
from mtl.ablation.sentences import verdict_of_claim
from mtl.grid.wording import NOTHING, mean_sd, plural
from mtl.report.data import ReportData
from mtl.report.document import Block, Paragraph, Section, columns, table, text
from mtl.report.wording import names
from mtl.stats.decision import OPEN
from mtl.stats.summary import summarise

MEANING = (
    "Reproduced: the verdict on the comparison is what the claim expects. Contradicted: it is "
    "the opposite, or an effect where none was claimed. No difference at this scale: none was "
    "found inside the margin, where an effect was claimed. No gain, or no loss, at this scale: an "
    "effect was claimed, and one larger than the margin is excluded. Undecided: more seeds or "
    "examples are needed. The claims of one published statement are a family, and an effect counts "
    "after Holm's correction within it; with * it also holds with a correction over all claims. A "
    "claim of no difference is reproduced where the 90 % interval lies inside the margin. "
    "Exploratory: the claim or its margin was chosen after the runs were there."
)


def section(data: ReportData) -> Section | None:
    """The claims of the definition; None where it makes none."""
    if not data.design.claims:
        return None
    results = [result for group in data.groups for result in group.claims]
    heads = columns(
        "claim", "on", "expected", "found", "published", "judged", "because", kinds="ttttttt"
    )
    rows = [
        (
            text(result.claim.claim),
            text(_compared(result.claim, data.design.baseline)),
            text(result.claim.expect),
            text(_found(result)),
            text(_published(result.claim)),
            text(judged_words(result)),
            text(_why(result)),
        )
        for result in results
    ]
    judged = [result.judged for result in results]
    counts = ", ".join(f"{judged.count(word)} {word}" for word in dict.fromkeys(judged))
    blocks: list[Block] = [
        Paragraph(text=f"{plural(len(results), 'claim')}: {counts}.", tone="verdict"),
        table("claims", heads, rows),
        Paragraph(text=MEANING),
        Paragraph(
            text=(
                "If no arm had any effect, this table would be expected to hold at most "
                f"{expected_false(results):.2f} false claims of an effect."
            )
        ),
    ]
    known = [result.claim for result in results]
    left = [claim.claim for claim in data.design.claims if claim not in known]
    if left:
        blocks.append(
            Paragraph(
                text="Not judged, as their arms were not scored on the same rows by the same rule: "
                f"{names(left)}."
            )
        )
    return Section(title="Claims", key="claims", blocks=tuple(blocks))


def _compared(claim: Claim, baseline: str) -> str:
    """`sts: final against baseline`: the task and the arms of a claim."""
    if claim.expect in ALONE:
        label = f", class {claim.label}" if claim.label is not None else ""
        return f"{claim.task}{label}: {claim.arm}"
    return f"{claim.task}: {claim.arm} against {claim.than or baseline}"


def _found(result: ClaimResult) -> str:
    """The difference that a claim rests on, or the means of a single arm."""
    if result.verdict is not None:
        return verdict_of_claim(result)
    parts = []
    for key, values in result.numbers.items():
        known = [value for value in values if value is not None]
        mean = mean_sd(summarise(known), count=True) if known else "undefined"
        parts.append(f"{key} {mean}")
    return ", ".join(parts)


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


def _why(result: ClaimResult) -> str:
    if result.verdict is None:
        return "seed by seed"
    if result.verdict.word not in OPEN:
        return result.verdict.reason
    return f"{result.verdict.text}: {result.verdict.reason}"
