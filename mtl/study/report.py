"""A study's report as files: Markdown with figures beside it, in the study's folder."""

from __future__ import annotations

from pathlib import Path

from mtl.files import write_bytes
from mtl.report.markdown import render
from mtl.study.document import study_document
from mtl.study.drawings import draw
from mtl.study.results import StudyResults


def write_report(results: StudyResults, folder: Path) -> Path:
    """Write `report.md` and its figures; returns its path."""
    document = study_document(results)
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    for figure in document.figures():
        write_bytes(figures / f"{figure.name}.svg", draw(figure))
    path = folder / "report.md"
    write_bytes(path, render(document, "figures").encode())
    return path
