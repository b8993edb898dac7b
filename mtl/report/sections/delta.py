"""Relative gains over single-task arms (delta-m), where the definition asks for them."""

from __future__ import annotations

from mtl.ablation.delta_table import delta_columns, delta_explanation, delta_row
from mtl.ablation.results import Delta
from mtl.report.data import ReportData
from mtl.report.document import Block, Cell, Column, Paragraph, Section, Table


def section(data: ReportData) -> Section | None:
    """A table for each group of arms that compare; None where none was asked for."""
    blocks: list[Block] = []
    for number, group in enumerate(data.groups):
        if group.delta is None or not group.delta.gains:
            continue
        if number:
            blocks.append(Paragraph(text=f"Apart from these: {group.basis}."))
        blocks.append(_table("delta" if number == 0 else f"delta-{number + 1}", group.delta))
    return Section(title="Relative gain", key="delta", blocks=tuple(blocks)) if blocks else None


def _table(name: str, delta: Delta) -> Table:
    heads = delta_columns(delta)
    rows = []
    for gain in delta.gains:
        estimate = gain.estimate
        values: list[float | str | None] = [
            gain.arm,
            None if estimate is None else len(estimate.seeds),
            *(gain.tasks.get(task) for task in delta.singles),
            None if estimate is None else estimate.value,
        ]
        rows.append(
            tuple(
                Cell(text=text, sort=value)
                for text, value in zip(delta_row(gain, tuple(delta.singles)), values, strict=True)
            )
        )
    return Table(
        name=name,
        columns=tuple(
            Column(title=title, kind="text" if place == 0 else "number")
            for place, title in enumerate(heads)
        ),
        rows=tuple(rows),
        caption=delta_explanation(delta),
    )
