"""The sections of a report, in order.

Each is a file with a function from `ReportData` to a section, or to None where it has nothing.

To add a section, write its file and add its line to `SECTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable

from mtl.report.data import ReportData
from mtl.report.document import Document, Section
from mtl.report.sections import (
    ablation,
    analysis,
    choosing,
    citations,
    claims,
    classes,
    comparability,
    cost,
    curves,
    delta,
    ensembles,
    environment,
    factors,
    flips,
    missing,
    reasons,
    scores,
    verdict,
)

SECTIONS: dict[str, Callable[[ReportData], Section | None]] = {
    "verdict": verdict.section,
    "scores": scores.section,
    "ablation": ablation.section,
    "missing": missing.section,
    "delta": delta.section,
    "ensembles": ensembles.section,
    "factors": factors.section,
    "claims": claims.section,
    "classes": classes.section,
    "analysis": analysis.section,
    "flips": flips.section,
    "curves": curves.section,
    "reasons": reasons.section,
    "comparability": comparability.section,
    "choosing": choosing.section,
    "cost": cost.section,
    "environment": environment.section,
    "citations": citations.section,
}


def build(data: ReportData) -> Document:
    """The whole report."""
    name = data.design.name
    sections = [make_section(data) for make_section in SECTIONS.values()]
    return Document(
        name=name,
        title=f"Run {name}" if data.is_single_run else name,
        lead=data.design.question,
        sections=tuple(section for section in sections if section is not None),
    )
