"""The effect of each factor of a design: main effects, interactions and Shapley shares."""

from __future__ import annotations

from typing import Any

from mtl.ablation.results import FactorEffect
from mtl.ablation.sentences import effects_by_kind, factors_and_levels, span
from mtl.grid.wording import NOTHING, plural
from mtl.report.data import ReportData
from mtl.report.document import (
    Block,
    Cell,
    Figure,
    Paragraph,
    Section,
    columns,
    table,
    text,
)
from mtl.report.sections.ablation import interval


def section(data: ReportData) -> Section | None:
    """The effects as a table and a figure; None where the design has fewer than two factors."""
    results = data.results
    effects = [
        (kind, effect) for kind, of_kind in effects_by_kind(results).items() for effect in of_kind
    ]
    if not effects:
        return None
    rows = [
        (
            text(kind),
            text(factors_and_levels(effect)),
            _effect_cell(effect),
            Cell(text=str(effect.matched), sort=effect.matched),
        )
        for kind, effect in effects
    ]
    heads = columns("effect", "of", f"on {results.primary} [95 %]", "matched sets", kinds="ttnn")
    caption = (
        "A main effect is a level against its factor's reference, averaged over the combinations "
        "of the others that have both; an interaction is how much more two levels do together "
        "than each alone. Not corrected for their number: read them as a map."
    )
    blocks: list[Block] = [table("factors", heads, rows, caption)]
    if results.shapley:
        blocks.append(Paragraph(text=(
            "Shares of the gain from the references to "
            f"{data.best.name if data.best else NOTHING}: what setting a factor adds, averaged "
            "over all orders of setting them (Shapley 1953); they sum to the gain."
        )))  # fmt: skip
    if figure := _figure(results.primary, results.margins[results.primary], effects):
        blocks.append(figure)
    return Section(title="Factors", key="factors", blocks=tuple(blocks))


def _effect_cell(effect: FactorEffect) -> Cell:
    if effect.estimate is None:
        return Cell(text=f"unknown: {effect.reason}")
    return Cell(text=span(effect.estimate), sort=effect.estimate.value)


def _figure(score: str, margin: float, effects: list[tuple[str, FactorEffect]]) -> Figure | None:
    lines: list[dict[str, Any]] = [
        {"kind": kind, "of": factors_and_levels(effect)} | interval(effect.estimate)
        for kind, effect in effects
        if effect.estimate is not None
    ]
    if not lines:
        return None
    return Figure(
        name="factors",
        drawing="factors",
        caption=f"Effects of the factors on {score} on dev, with 95 % intervals.",
        alt=f"{plural(len(lines), 'effect')} with their intervals; the numbers are in the "
        "table above.",
        data={"score": score, "margin": margin, "lines": lines},
    )
