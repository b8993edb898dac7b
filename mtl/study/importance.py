"""Importance of parameters, by two evaluators that often disagree.

PED-ANOVA (Watanabe et al., 2023): which parameters separate the good trials from all trials. fANOVA
(Hutter et al., 2014): which parameters explain the score's variance over the whole space. Both see
done trials. Shares add up to 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from mtl.study.definition import Study

if TYPE_CHECKING:
    import optuna

FEWEST = 5
"""The fewest done trials for an estimate."""
EVALUATORS = {"PED-ANOVA": "PedAnovaImportanceEvaluator", "fANOVA": "FanovaImportanceEvaluator"}


class Importance(BaseModel):
    """Shares by parameter for one objective and evaluator.

    `shares` is empty, with a `reason`, if there is no estimate. `left_out` are parameters that the
    evaluator cannot judge.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    objective: str
    evaluator: str
    shares: dict[str, float]
    left_out: tuple[str, ...] = ()
    reason: str | None = None


def importances(study: optuna.Study, definition: Study) -> list[Importance]:
    """The importance for each objective by each evaluator."""
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
    values = {trial.values[at] for trial in done}
    if len(done) < FEWEST or len(values) < 2:
        few = f"{len(done)} trials are done; it needs {FEWEST}"
        reason = few if len(done) < FEWEST else "all trials score the same"
        return Importance(objective=objective, evaluator=evaluator, shares={}, reason=reason)
    kind = getattr(optuna.importance, EVALUATORS[evaluator])
    judge = kind() if evaluator == "PED-ANOVA" else kind(seed=0)
    sign = definition.objectives[at].sign
    try:
        # For PED-ANOVA the lowest targets are the good ones, whatever the study's direction.
        estimates = optuna.importance.get_param_importances(
            study, evaluator=judge, target=lambda trial: -sign * float(trial.values[at])
        )
    except (ValueError, RuntimeError, ImportError) as error:
        return Importance(
            objective=objective, evaluator=evaluator, shares={}, reason=str(error).splitlines()[0]
        )
    shares = {name: float(share) for name, share in estimates.items()}
    left_out = tuple(knob.name for knob in definition.space if knob.name not in shares)
    return Importance(objective=objective, evaluator=evaluator, shares=shares, left_out=left_out)
