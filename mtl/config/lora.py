"""The settings of low-rank adapters, `lora.*`, and what they exclude. No torch here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from mtl.config.idle import Idle
from mtl.config.sections import Section
from mtl.documents.validation import Problem

Targets = Literal["qv", "qkvo", "all"]

NO_ADAPTERS = Idle(
    when=lambda run: run.freeze.unfrozen == 0,
    why="freeze.unfrozen=0 trains no layer, so no layer has adapters. Raise freeze.unfrozen, or "
    "leave it out.",
)


class Lora(Section):
    """Low-rank adapters (Hu et al. 2022).

    A product's weight W becomes W + (alpha / rank) B A. A and B train; all else in the encoder is
    frozen but the pooler. With freeze.unfrozen=k the last k layers have adapters. At the start B is
    0, so the model is the encoder as loaded.
    """

    rank: Annotated[int, Field(ge=1), NO_ADAPTERS] = Field(
        8, description="rows of A and columns of B; at most the encoder's width"
    )
    alpha: Annotated[float, Field(gt=0), NO_ADAPTERS] = Field(
        16.0, description="strength of the adapters: B A is multiplied by lora.alpha / lora.rank"
    )
    targets: Annotated[Targets, NO_ADAPTERS] = Field(
        "qv",
        description="the products of a layer that have adapters; qv: queries and values (the "
        "paper); qkvo: all four of attention; all: these and both of the feed-forward block",
    )


def lora_problems(lora: Lora | None, resolved_scope: Any) -> list[Problem]:
    """Adapters where some tasks are to train the layers that have none."""
    if lora is None or resolved_scope == "all":
        return []
    message = (
        "lora: layers without adapters train for no task, so freeze.scope cannot name some. "
        "Use freeze.scope=all, or lora=null."
    )
    return [Problem(uses=("lora", "freeze.scope"), message=message)]
