"""Judges claims on the scores of arms that compare.

The claims of one published statement are a family, and are corrected together (Holm). A claim that
is decided and also holds with a correction over all claims of the grid is marked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from mtl.ablation.claims import ALONE, Claim, judge_claim
from mtl.ablation.comparison import NO_SHARED_TASKS, Pool, verdict_of
from mtl.ablation.evidence import ArmScores
from mtl.ablation.results import ClaimResult, metric_key
from mtl.stats.decision import ALPHA, Look, Verdict, decide
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
        str(number): _difference(claim, baseline, pool)
        for number, claim in enumerate(claims)
        if claim.expect not in ALONE
    }
    families: dict[str, list[str]] = {}
    for number in compared:
        families.setdefault(family_of(claims[int(number)]), []).append(number)

    def judged(numbers: Iterable[str]) -> dict[str, Verdict]:
        """The verdicts on claims that are corrected together."""
        chosen = {number: claims[int(number)] for number in numbers}
        return decide(
            {number: compared[number][0] for number in chosen},
            margin={number: margin(claim.task) for number, claim in chosen.items()},
            looks={number: looks[one.arm] for number, one in chosen.items() if one.arm in looks},
            reasons={number: compared[number][1] for number in chosen},
        )

    verdicts: dict[str, Verdict] = {}
    for numbers in families.values():
        verdicts |= judged(numbers)
    over_all = judged(compared)
    return tuple(
        _alone(claim, pool.scores[claim.arm], margin(claim.task), planned(claim))
        if claim.expect in ALONE
        else _compared(
            claim,
            verdicts[str(number)],
            margin(claim.task),
            planned(claim),
            over_all[str(number)].word == verdicts[str(number)].word,
        )
        for number, claim in enumerate(claims)
    )


def expected_false(claims: Sequence[ClaimResult]) -> float:
    """The most false claims to expect if no arm had an effect: alpha for each family."""
    return ALPHA * len({result.family for result in claims if result.verdict is not None})


def family_of(claim: Claim) -> str:
    """The name of a claim's family; its own text for a claim that stands alone."""
    return claim.family_name or claim.claim


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
        classes = range(len(TASKS[claim.task].class_names))
        keys = [f"dev/{claim.task}/recall/{label}" for label in classes]
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
