"""Judges claims on the scores of arms that compare.

The claims of one published statement are a family, and are corrected together (Holm). A claim that
is decided and also holds with a correction over all claims of the grid is marked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from mtl.ablation.claims import ALONE, Claim, judge_claim
from mtl.ablation.comparison import NO_SHARED_TASKS, Pool, verdict_of
from mtl.ablation.evidence import ArmScores
from mtl.ablation.results import ClaimResult, metric_key
from mtl.stats.decision import ALPHA, Look, Verdict, decide, holm
from mtl.stats.estimate import Estimate
from mtl.tasks.registry import TASKS


def arms_of(claim: Claim, baseline: str) -> set[str]:
    """The arms that a claim rests on."""
    return {claim.arm} if claim.expect in ALONE else {claim.arm, claim.than or baseline}


def judge_claims(
    claims: Sequence[Claim],
    baseline: str,
    pool: Pool,
    *,
    margin: Callable[[str], float],
    looks: Mapping[str, Look],
    planned: Callable[[Claim], bool | None],
) -> tuple[ClaimResult, ...]:
    """A result for each claim. `baseline` is what a claim without `than` compares with."""
    compared = {
        number: _difference(claim, baseline, pool)
        for number, claim in enumerate(claims)
        if claim.expect not in ALONE
    }
    verdicts: dict[int, Verdict] = {}
    for family in _families(claims, compared):
        for number, verdict in _judged(family, claims, compared, margin, looks).items():
            verdicts[number] = verdict
    survivors = _survivors(verdicts)
    return tuple(
        _alone(claim, pool.scores[claim.arm], margin(claim.task), planned(claim))
        if claim.expect in ALONE
        else _compared(
            claim,
            verdicts[number],
            margin(claim.task),
            planned(claim),
            number in survivors,
        )
        for number, claim in enumerate(claims)
    )


def expected_false(claims: Sequence[ClaimResult]) -> float:
    """The most false claims to expect if no arm had an effect: alpha for each family."""
    return ALPHA * len({result.family for result in claims if result.verdict is not None})


def _families(
    claims: Sequence[Claim], compared: Mapping[int, tuple[Estimate | None, str]]
) -> list[list[int]]:
    """The numbers of the claims that are corrected together."""
    families: dict[str, list[int]] = {}
    for number in compared:
        families.setdefault(family_of(claims[number]), []).append(number)
    return list(families.values())


def family_of(claim: Claim) -> str:
    """The name of a claim's family; its own text for a claim that stands alone."""
    return claim.family_name or claim.claim


def _judged(
    family: Sequence[int],
    claims: Sequence[Claim],
    compared: Mapping[int, tuple[Estimate | None, str]],
    margin: Callable[[str], float],
    looks: Mapping[str, Look],
) -> dict[int, Verdict]:
    """The verdicts on the claims of a family. Their margins may differ; the correction is one."""
    estimates = {str(number): compared[number][0] for number in family}
    reasons = {str(number): compared[number][1] for number in family}
    of_claim = {
        str(number): looks[claims[number].arm] for number in family if claims[number].arm in looks
    }
    return {
        number: decide(
            estimates, margin=margin(claims[number].task), looks=of_claim, reasons=reasons
        )[str(number)]
        for number in family
    }


def _survivors(verdicts: Mapping[int, Verdict]) -> set[int]:
    """The claims whose difference is clear of 0 with a correction over all claims too."""
    p = {
        number: min(1.0, verdict.estimate.p * ALPHA / (1 - verdict.level))
        for number, verdict in verdicts.items()
        if verdict.estimate is not None and verdict.word != "no verdict"
    }
    adjusted = dict(zip(p, holm(list(p.values())), strict=True))
    return {number for number, value in adjusted.items() if value < ALPHA}


def _difference(claim: Claim, baseline: str, pool: Pool) -> tuple[Estimate | None, str]:
    arm, reference = claim.arm, claim.than or baseline
    tasks = pool.scores[arm].tasks_of(claim.task)
    if not tasks or tasks != pool.scores[reference].tasks_of(claim.task):
        return None, NO_SHARED_TASKS
    return pool.compare(arm, reference, tasks, pool.prior(claim.task, tasks))


def _compared(
    claim: Claim, verdict: Verdict, margin: float, planned: bool | None, survives: bool
) -> ClaimResult:
    """The result of a claim about two arms."""
    inside = verdict.bound is not None and verdict.bound <= margin
    if claim.expect == "no difference" and inside:
        # An effect can be certain and still too small to matter.
        reason = f"the interval is inside the margin of {margin:g}"
        verdict = replace(verdict, word="no difference", reason=reason, more_seeds=None)
    judged = judge_claim(claim, None if verdict.word == "no verdict" else verdict.word)
    return ClaimResult(
        claim=claim,
        verdict=verdict_of(verdict, planned),
        numbers={},
        judged=judged,
        family=family_of(claim),
        survives=survives if verdict.word in ("helps", "hurts") else None,
        planned=planned,
    )


def _alone(claim: Claim, arm: ArmScores, margin: float, planned: bool | None) -> ClaimResult:
    """The result of a claim about one arm: from its recalls by class, or from train and dev."""
    if claim.expect == "worst class":
        keys = [f"dev/sst/recall/{label}" for label in range(TASKS["sst"].outputs)]
    else:
        keys = [f"{split}/{metric_key(claim.task)}" for split in ("train", "dev")]
    numbers = arm.metrics(keys)
    by_seed = list(zip(*numbers.values(), strict=True))
    judged = judge_claim(claim, by_seed, margin=margin)
    return ClaimResult(
        claim=claim,
        verdict=None,
        numbers=numbers,
        judged=judged,
        family=family_of(claim),
        planned=planned,
    )
