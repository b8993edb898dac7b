"""The sections of a report: one file each, a function from the material to a section, or None where there is nothing to say.

Adding one is a file and its line in `SECTIONS`, in the place where it is to be read.
"""

from __future__ import annotations

from collections.abc import Callable

from mtl.report.document import Document, Section
from mtl.report.material import Material
from mtl.report.sections import (
    ablation,
    analysis,
    citations,
    claims,
    classes,
    comparability,
    cost,
    curves,
    environment,
    factors,
    flips,
    honesty,
    missing,
    reasons,
    scores,
    verdict,
)

SECTIONS: dict[str, Callable[[Material], Section | None]] = {
    "verdict": verdict.section,
    "scores": scores.section,
    "ablation": ablation.section,
    "missing": missing.section,
    "factors": factors.section,
    "claims": claims.section,
    "classes": classes.section,
    "analysis": analysis.section,
    "flips": flips.section,
    "curves": curves.section,
    "reasons": reasons.section,
    "comparability": comparability.section,
    "honesty": honesty.section,
    "cost": cost.section,
    "environment": environment.section,
    "citations": citations.section,
}


def build(material: Material) -> Document:
    """The whole report."""
    found = [section(material) for section in SECTIONS.values()]
    return Document(
        name=material.name,
        title=f"Run {material.name}" if material.kind == "run" else material.name,
        lead=material.question,
        sections=tuple(section for section in found if section is not None),
    )
