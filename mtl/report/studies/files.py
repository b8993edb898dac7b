"""A study's report as files: Markdown with figures beside it, in the study's folder."""

from __future__ import annotations

from pathlib import Path

from mtl.files import write_bytes
from mtl.report.document import Document
from mtl.report.render.figures import draw
from mtl.report.render.markdown import render
from mtl.report.render.plain import cleaned
from mtl.report.studies.document import study_document
from mtl.study.results import StudyResults


def write_report(results: StudyResults, folder: Path) -> Path:
    """Write `report.md` and its figures; returns its path."""
    document: Document = cleaned(study_document(results))
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    for figure in document.figures():
        write_bytes(figures / f"{figure.name}.svg", draw(figure))
    path = folder / "report.md"
    write_bytes(path, render(document, "figures").encode())
    return path
