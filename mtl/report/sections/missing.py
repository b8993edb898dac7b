"""Runs without a score: not run, failed, diverged, damaged or undefined, and why."""

from __future__ import annotations

from mtl.grid.wording import plural
from mtl.report.data import ReportData
from mtl.report.document import Cell, Paragraph, Section, columns, table, text


def section(data: ReportData) -> Section | None:
    rows = []
    for group in data.groups:
        for arm in group.arms:
            for seed, reason in arm.missing.items():
                record = data.record(arm.name, seed)
                state = "no record" if record is None else record.status
                rows.append(
                    (text(arm.name), Cell(text=str(seed), sort=seed), text(state), text(reason))
                )
    if not rows:
        return None
    planned = sum(len(seeds) for seeds in data.design.runs.values())
    count = (
        f"{plural(len(rows), 'run')} of {planned} have no score, or not all of theirs; nothing "
        "stands in for them."
    )
    heads = columns("arm", "seed", "state", "reason", kinds="tntt")
    return Section(
        title="Missing runs",
        key="missing",
        blocks=(Paragraph(text=count), table("missing", heads, rows)),
    )
