"""What each factor of a design does: main effects, interactions, and its Shapley share of the gain to the best arm."""

from __future__ import annotations

from typing import Any

from mtl.ablation import sentences as words
from mtl.report.document import (
    NOTHING,
    Block,
    Cell,
    Figure,
    Paragraph,
    Section,
    columns,
    table,
    text,
)
from mtl.report.material import Material
from mtl.stats.effects import Effect

KINDS = {
    "main effect": "main_effects",
    "interaction": "interactions",
    "share of the gain": "shapley",
}


def section(material: Material) -> Section | None:
    results = material.results
    found: list[tuple[str, Effect]] = [
        (kind, effect) for kind, name in KINDS.items() for effect in getattr(results, name)
    ]
    if not found:
        return None
    rows = []
    for kind, effect in found:
        estimate = effect.estimate
        cell = Cell(
            text=words.span(estimate) if estimate else f"unknown: {effect.reason}",
            sort=estimate.value if estimate else None,
        )
        rows.append(
            (
                text(kind),
                text(of(effect)),
                cell,
                Cell(text=str(effect.matched), sort=effect.matched),
            )
        )
    heads = columns("effect", "of", f"on {results.primary} [95 %]", "matched sets", kinds="ttnn")
    caption = (
        "A main effect is a level against its factor's reference, averaged over the combinations of the others that have both; an "
        "interaction is how much more two levels do together than each alone. Not corrected for their number: read them as a map."
    )
    blocks: list[Block] = [table("factors", heads, rows, caption)]
    if results.shapley:
        blocks.append(Paragraph(text=(
            f"Shares of the gain from the references to {material.best.name if material.best else NOTHING}: what setting a factor adds, "
            "averaged over all orders of setting them (Shapley 1953); they sum to the gain."
        )))  # fmt: skip
    if figure := _figure(results.primary, results.margin, found):
        blocks.append(figure)
    return Section(title="Factors", key="factors", blocks=tuple(blocks))


def of(effect: Effect) -> str:
    """`pairing=concat and pooling=mean`."""
    return " and ".join(
        f"{factor}={level}" for factor, level in zip(effect.factors, effect.levels, strict=True)
    )


def _figure(score: str, margin: float, found: list[tuple[str, Effect]]) -> Figure | None:
    lines: list[dict[str, Any]] = []
    for kind, effect in found:
        if effect.estimate is not None:
            low, high = effect.estimate.interval(0.95)
            lines.append(
                {
                    "kind": kind,
                    "of": of(effect),
                    "value": effect.estimate.value,
                    "low": low,
                    "high": high,
                }
            )
    if not lines:
        return None
    return Figure(
        name="factors",
        drawing="factors",
        caption=f"Effects of the factors on {score} on dev, with 95 % intervals.",
        alt=f"{len(lines)} effects with their intervals; the numbers are in the table above.",
        data={"score": score, "margin": margin, "lines": lines},
    )
