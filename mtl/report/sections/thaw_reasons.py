"""How much of the encoder trained in each epoch, where layers thaw one after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mtl.grid.wording import NOTHING
from mtl.report.document import Block, Paragraph, columns, table, text
from mtl.runs.diagnostics import ThawDiagnostics
from mtl.runs.record import Record


def thaw_blocks(arms: Mapping[str, Sequence[Record]]) -> list[Block]:
    """A table of the layers that trained; none where no arm thaws any."""
    by_arm = {
        arm: parts
        for arm, records in arms.items()
        if (parts := [part for record in records if (part := record.diagnostics.thaw)])
    }
    if not by_arm:
        return []
    rows, notes = [], []
    for arm, parts in by_arm.items():
        paths = dict.fromkeys(_path(part) for part in parts)
        starts = dict.fromkeys(
            f"epoch {part.embeddings}" if part.embeddings else "never" for part in parts
        )
        rows.append((text(arm), text("; ".join(paths)), text("; ".join(starts))))
        if all(len(set(part.layers)) < 2 and part.embeddings is None for part in parts):
            notes.append(f"{arm}: every run ended before a layer thawed.")
    heads = columns("arm", "layers that train, by epoch", "embeddings train from", kinds="ttt")
    caption = (
        "Gradual unfreezing: how many layers trained in each epoch, counted from the top. Where "
        "seeds differ, each path is shown once. A layer that thaws late has few steps to move."
    )
    return [table("thawing", heads, rows, caption), *(Paragraph(text=note) for note in notes)]


def _path(part: ThawDiagnostics) -> str:
    return ", ".join(map(str, part.layers)) or NOTHING
