"""Judges claims on the scores of arms that compare.

Claims that are comparisons are corrected together (Holm).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mtl.ablation.claims import ALONE, Claim, judge_claim
from mtl.ablation.comparison import compare, verdict_of
from mtl.ablation.evidence import ArmScores
from mtl.ablation.results import ClaimResult, metric_key
from mtl.stats.estimate import Estimate
from mtl.stats.verdicts import Verdict, judge
from mtl.tasks.registry import TASKS


def arms_of(claim: Claim, baseline: str) -> set[str]:
    """The arms that a claim rests on."""
    return {claim.arm} if claim.expect in ALONE else {claim.arm, claim.than or baseline}


def judge_claims(
    claims: Sequence[Claim],
    baseline: str,
    scores: Mapping[str, ArmScores],
    *,
    margin: float,
    looks: int,
) -> tuple[ClaimResult, ...]:
    """A result for each claim. `baseline` is what a claim without `than` compares with."""
    estimates: dict[int, Estimate | None] = {}
    reasons: dict[int, str] = {}
    for number, claim in enumerate(claims):
        if claim.expect not in ALONE:
            arm, reference = scores[claim.arm], scores[claim.than or baseline]
            estimates[number], reasons[number] = _difference(claim, arm, reference)
    verdicts = judge(
        {str(number): estimate for number, estimate in estimates.items()},
        margin=margin,
        looks=looks,
        reasons={str(number): reason for number, reason in reasons.items()},
    )
    count = sum(estimate is not None for estimate in estimates.values())
    return tuple(
        _alone(claim, scores[claim.arm], margin)
        if claim.expect in ALONE
        else _compared(claim, verdicts[str(number)], margin, count)
        for number, claim in enumerate(claims)
    )


def _difference(claim: Claim, arm: ArmScores, reference: ArmScores) -> tuple[Estimate | None, str]:
    tasks = arm.tasks_of(claim.task)
    if not tasks or tasks != reference.tasks_of(claim.task):
        return None, "the two arms do not share the tasks"
    return compare(arm, reference, tasks)


def _compared(claim: Claim, verdict: Verdict, margin: float, count: int) -> ClaimResult:
    """The result of a claim about two arms; `count` claims were judged together."""
    if claim.expect == "no difference" and verdict.within(margin):
        # An effect can be certain and still too small to matter.
        reason = f"the interval is inside the margin of {margin:g}"
        verdict = replace(verdict, word="no difference", reason=reason, more_seeds=None)
    judged = judge_claim(claim, None if verdict.word == "no verdict" else verdict.word)
    return ClaimResult(claim=claim, verdict=verdict_of(verdict, count), numbers={}, judged=judged)


def _alone(claim: Claim, arm: ArmScores, margin: float) -> ClaimResult:
    """The result of a claim about one arm: from its recalls by class, or from train and dev."""
    if claim.expect == "worst class":
        keys = [f"dev/sst/recall/{label}" for label in range(TASKS["sst"].outputs)]
    else:
        keys = [f"{split}/{metric_key(claim.task)}" for split in ("train", "dev")]
    numbers = arm.metrics(keys)
    by_seed = list(zip(*numbers.values(), strict=True))
    judged = judge_claim(claim, by_seed, margin=margin)
    return ClaimResult(claim=claim, verdict=None, numbers=numbers, judged=judged)
