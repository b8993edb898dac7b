"""What happened to a grid before now: when it was planned, and when its verdicts were made.

A comparison that was chosen after its runs were there can be chosen for its result. So the plan
stands in the grid's folder before the first run, and every change of it is added. A verdict that is
made again and again, with more seeds each time, is right by chance some day. So every time counts
at which verdicts were made with other seeds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from mtl.ablation.claims import ALONE, Claim
from mtl.ablation.margins import Margin, margin_of
from mtl.stats.decision import Look

BY_MARGIN = ("no difference", "not worse", "not better", "undecided")
"""Words that depend on the margin."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Planned(_Part):
    """A plan of a grid: its arms by cell, the baseline first, and how they are judged.

    `done` are the arms that had a finished run when the plan was made. `before` is True for the
    first plan of a folder that already had results: what stood before is not known.
    """

    hash: str
    at: str
    """UTC, ISO 8601."""
    arms: dict[str, str]
    baseline: str
    margin: Margin
    claims: tuple[Claim, ...]
    delta: dict[str, str] = Field(default={}, exclude_if=lambda delta: not delta)
    seeds: tuple[int, ...]
    max_seeds: int | None = None
    done: tuple[str, ...] = ()
    looks: int = 0
    """How many looks there had been."""
    before: bool = False


class Looked(_Part):
    """A time at which verdicts were made: the seeds with scores of each arm."""

    at: str
    """UTC, ISO 8601."""
    seeds: dict[str, tuple[int, ...]]


class History(_Part):
    """The plans and the looks of a grid, oldest first."""

    plans: tuple[Planned, ...] = ()
    looks: tuple[Looked, ...] = ()

    @property
    def max_seeds(self) -> int | None:
        """The largest number of seeds that was ever planned with --until-decided."""
        return max((plan.max_seeds for plan in self.plans if plan.max_seeds), default=None)

    def look(self, arm: str, baseline: str) -> Look | None:
        """All looks at an arm: those that were, and those that --until-decided may still take.

        None where its verdict was never made.
        """
        shared = {
            tuple(sorted(set(look.seeds.get(arm, ())) & set(look.seeds.get(baseline, ()))))
            for look in self.looks
        }
        sizes = sorted(len(seeds) for seeds in shared if len(seeds) > 1)
        if not sizes:
            return None
        most = self.max_seeds
        later = [] if most is None else [n for n in range(sizes[0], most + 1) if n not in sizes]
        return Look(seeds=tuple(sorted([*sizes, *later])), most=most)

    def arm_planned(self, arm: str, cell: str, baseline: str, baseline_cell: str) -> bool | None:
        """Whether a comparison stood before both of its arms had a run; None: not known."""
        for plan in self.plans:
            if plan.arms.get(arm) == cell and plan.arms.get(baseline) == baseline_cell:
                return _before(plan, not {arm, baseline} <= set(plan.done))
        return None

    def margin_planned(self, score: str, margin: float) -> bool | None:
        """Whether the margin of a score stood before verdicts were made; None: not known."""
        for plan in self.plans:
            if margin_of(plan.margin, score) == margin:
                return _before(plan, plan.looks == 0)
        return None

    def claim_planned(self, claim: Claim, baseline: str) -> bool | None:
        """Whether a claim stood before its arms had runs; None: not known."""
        arms = {claim.arm} if claim.expect in ALONE else {claim.arm, claim.than or baseline}
        for plan in self.plans:
            if claim in plan.claims:
                return _before(plan, not arms <= set(plan.done))
        return None

    def delta_planned(self, arm: str, delta: Mapping[str, str]) -> bool | None:
        """Whether a relative gain stood before all of its arms had runs; None: not known."""
        for plan in self.plans:
            if arm in plan.arms and plan.delta == delta:
                return _before(plan, not {arm, *delta.values()} <= set(plan.done))
        return None

    def with_plan(self, plan: Planned) -> History:
        """The history with a plan, if it differs from the last one."""
        if self.plans and self.plans[-1].hash == plan.hash:
            return self
        return self.model_copy(update={"plans": (*self.plans, plan)})

    def with_look(self, seeds: Mapping[str, Sequence[int]]) -> History:
        """The history with a look at these seeds, if no earlier look had the same."""
        now = {arm: tuple(sorted(of_arm)) for arm, of_arm in seeds.items() if of_arm}
        if not now or any(look.seeds == now for look in self.looks):
            return self
        return self.model_copy(update={"looks": (*self.looks, Looked(at=_now(), seeds=now))})


def plan_of(
    *,
    arms: Mapping[str, str],
    baseline: str,
    margin: Margin,
    claims: Iterable[Claim],
    delta: Mapping[str, str],
    seeds: Sequence[int],
    max_seeds: int | None,
    done: Iterable[str],
    looks: int,
    before: bool,
) -> Planned:
    """A plan as of now, with its hash: 16 hex digits over all that fixes it."""
    fixed: dict[str, Any] = {
        "arms": dict(arms),
        "baseline": baseline,
        "margin": margin,
        "claims": [claim.plain() for claim in claims],
        "seeds": list(seeds),
        "max_seeds": max_seeds,
    }
    fixed |= {"delta": dict(delta)} if delta else {}
    text = json.dumps(fixed, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return Planned(
        hash=hashlib.sha256(text.encode()).hexdigest()[:16],
        at=_now(),
        arms=dict(arms),
        baseline=baseline,
        margin=margin,
        claims=tuple(claims),
        delta=dict(delta),
        seeds=tuple(seeds),
        max_seeds=max_seeds,
        done=tuple(sorted(done)),
        looks=looks,
        before=before,
    )


def all_planned(parts: Sequence[bool | None]) -> bool | None:
    """Whether all parts were planned; None: none was added later, but one is not known."""
    return False if False in parts else None if None in parts else True


def _before(plan: Planned, unseen: bool) -> bool | None:
    """Whether something that a plan names first was planned, as far as it is known."""
    return True if unseen else None if plan.before else False


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
