"""Which parameters mattered, by two evaluators that often disagree, each under its name.

PED-ANOVA (Watanabe et al. 2023) asks which parameters tell the good trials from all; fANOVA (Hutter et al. 2014) which
explain the score's variance over the whole space. Both see trials that are done, and shares add up to 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mtl.study.definition import Study

if TYPE_CHECKING:
    import optuna

FEWEST = 5
"""Trials that must be done before anything is said."""
EVALUATORS = {"PED-ANOVA": "PedAnovaImportanceEvaluator", "fANOVA": "FanovaImportanceEvaluator"}


@dataclass(frozen=True, kw_only=True)
class Importance:
    """Shares by parameter for one objective and evaluator; empty with the reason. `left_out` could not be judged."""

    objective: str
    evaluator: str
    shares: Mapping[str, float]
    left_out: tuple[str, ...] = ()
    reason: str | None = None


def importances(study: optuna.Study, definition: Study) -> list[Importance]:
    """Every objective by every evaluator."""
    return [
        _importance(study, definition, at, evaluator)
        for at in range(len(definition.objectives))
        for evaluator in EVALUATORS
    ]


def _importance(study: optuna.Study, definition: Study, at: int, evaluator: str) -> Importance:
    import optuna
    from optuna.trial import TrialState

    objective = definition.objectives[at].key
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    values = {one.values[at] for one in done}
    if len(done) < FEWEST or len(values) < 2:
        why = (
            f"{len(done)} trials are done; it takes {FEWEST}"
            if len(done) < FEWEST
            else "all trials score the same"
        )
        return Importance(objective=objective, evaluator=evaluator, shares={}, reason=why)
    chosen = getattr(optuna.importance, EVALUATORS[evaluator])
    judge = chosen() if evaluator == "PED-ANOVA" else chosen(seed=0)
    sign = definition.objectives[at].sign
    try:
        # PED-ANOVA takes the lowest values of a target for the good ones, whatever the study's direction.
        found = optuna.importance.get_param_importances(
            study, evaluator=judge, target=lambda trial: -sign * float(trial.values[at])
        )
    except (ValueError, RuntimeError, ImportError) as error:
        return Importance(
            objective=objective, evaluator=evaluator, shares={}, reason=str(error).splitlines()[0]
        )
    shares = {name: float(share) for name, share in found.items()}
    left_out = tuple(one.name for one in definition.space if one.name not in shares)
    return Importance(objective=objective, evaluator=evaluator, shares=shares, left_out=left_out)
