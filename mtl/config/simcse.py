"""The settings of a pre-step on the tasks' text, `simcse.*`, and what they exclude. No torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mtl.config.sections import Freeze, Pooling, Section
from mtl.documents.validation import Problem


class SimCSE(Section):
    """Unsupervised SimCSE (Gao et al. 2021), before training and without labels.

    Each distinct training sentence of the run's tasks is read twice, under two dropout masks. Of
    all second readings in the batch, its own shall have the highest cosine with its first. What
    training moves of the encoder, the pre-step moves too. It does not count as steps, epochs or
    examples of the run; its seconds do.
    """

    steps: Annotated[int, Field(ge=1)] = Field(100, description="steps before training")
    batch_size: Annotated[int, Field(ge=2)] = Field(
        64, description="sentences of a step of the pre-step"
    )
    lr: Annotated[float, Field(gt=0)] = Field(
        3e-5, description="constant learning rate of the pre-step"
    )
    scale: Annotated[float, Field(gt=0)] = Field(
        20.0, description="what cosines are multiplied by: 1 / temperature; published: 20"
    )


def simcse_problems(
    simcse: SimCSE | None, dropout: float, freeze: Freeze, pooling: Pooling
) -> list[Problem]:
    """A pre-step that has nothing to compare, or nothing to move. `freeze` is resolved."""
    if simcse is None:
        return []
    problems = []
    if dropout == 0:
        message = (
            "simcse compares two readings of a sentence under different dropout; train.dropout=0 "
            "makes them equal. Use train.dropout=0.1, or simcse=null."
        )
        problems.append(Problem(uses=("train.dropout", "simcse"), message=message))
    frozen = freeze.unfrozen == 0 and freeze.scope == "all"
    if frozen and pooling != "pooler":
        message = (
            "simcse trains the encoder; with freeze.unfrozen=0 and no pooler it has nothing to "
            "train. Raise freeze.unfrozen, or use simcse=null."
        )
        problems.append(Problem(uses=("freeze.unfrozen", "simcse"), message=message))
    return problems
