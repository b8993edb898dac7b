"""The setting `rdrop`, and what it excludes. No torch here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from mtl.config.idle import ADDED_LATER
from mtl.config.sections import Freeze
from mtl.documents.validation import Problem

Rdrop = Annotated[
    Annotated[float, Field(gt=0)] | None,
    ADDED_LATER,
    Field(
        description="R-Drop: alpha, the weight of the distance between the outputs of two passes "
        "under two dropout masks; a published alpha is twice this one; null: off, one pass"
    ),
]

HEADS_WITH_DROPOUT = ("mlp", "features")


def rdrop_problems(
    alpha: float | None, *, smart: bool, dropout: float, freeze: Freeze, heads: Iterable[str]
) -> list[Problem]:
    """R-Drop beside another penalty, or where both passes would be the same.

    `freeze` and `heads` are resolved; `smart` says whether SMART is on.
    """
    if alpha is None:
        return []
    same = f"rdrop={alpha:g} compares two passes under two dropout masks"
    reasons: dict[str, str] = {}
    if smart:
        reasons["smart"] = (
            f"rdrop={alpha:g} and smart: a run has one penalty. Use smart=null or rdrop=null."
        )
    if dropout == 0:
        reasons["train.dropout"] = (
            f"{same}; train.dropout=0 has none. Raise train.dropout, or use rdrop=null."
        )
    heads_alone = freeze.unfrozen == 0 and freeze.scope == "all" and freeze.thaw is None
    heads_alone = heads_alone and not freeze.dropout
    if heads_alone and not set(heads) & set(HEADS_WITH_DROPOUT):
        reasons["freeze.unfrozen"] = (
            f"{same}; with freeze.unfrozen=0 only the heads {' and '.join(HEADS_WITH_DROPOUT)} "
            "have dropout. Raise freeze.unfrozen, use such a head, or rdrop=null."
        )
    return [Problem(uses=("rdrop", key), message=message) for key, message in reasons.items()]
