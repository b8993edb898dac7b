"""Makes a report from its records, and writes its files.

reports/<name>.md                    the report
reports/<name>/records.json.gz       what it is made from
               figures/*.svg
               tables/*.csv, *.tex   with --csv, --latex
reports/<name>.html                  with --html
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtl.files import write_bytes
from mtl.report import archive
from mtl.report.archive import AnyArchive, StudyArchive
from mtl.report.contents import build
from mtl.report.data import ReportData, Sentences
from mtl.report.document import Document
from mtl.report.render import figures, markdown, tables
from mtl.report.render.plain import cleaned
from mtl.report.studies.gather import study_report

FORMS: dict[str, Callable[[Document], dict[str, str]]] = {
    "csv": tables.csv_files,
    "latex": tables.latex_files,
}
"""Other forms of the tables: from a document to file names and their text."""

SUFFIXES = {"csv": ".csv", "latex": ".tex"}


@dataclass(frozen=True, kw_only=True)
class Places:
    """The files of one report below an output folder."""

    output: Path
    name: str

    @property
    def markdown(self) -> Path:
        return self.output / f"{self.name}.md"

    @property
    def html(self) -> Path:
        return self.output / f"{self.name}.html"

    @property
    def folder(self) -> Path:
        return self.output / self.name

    @property
    def records(self) -> Path:
        return self.folder / archive.FILE

    @property
    def figures(self) -> Path:
        return self.folder / "figures"

    @property
    def tables(self) -> Path:
        return self.folder / "tables"


@dataclass(frozen=True, kw_only=True)
class Report:
    """A report in memory: its document, its Markdown, and its results as plain data."""

    document: Document
    markdown: str
    results: Mapping[str, Any]


def make(records: AnyArchive, sentences: Sentences | None = None) -> Report:
    """The report of some records; `sentences` are those that it may quote."""
    if isinstance(records, StudyArchive):
        document, results = study_report(records), records.study
    else:
        document = build(ReportData(records, sentences))
        results = records.results.as_json()
    document = cleaned(document)
    written = markdown.render(document, f"{records.name}/figures")
    return Report(document=document, markdown=written, results=results)


def publish(
    records: AnyArchive,
    report: Report,
    places: Places,
    *,
    forms: tuple[str, ...] = (),
    html: bool = False,
) -> list[Path]:
    """Write a report and its records, and return the files.

    Figures of an earlier report are removed.

    Forms that are there from before are written again too, so that nothing beside a report is older
    than it.
    """
    kept = {path.suffix for path in places.tables.glob("*")} if places.tables.is_dir() else set()
    forms = tuple(form for form, suffix in SUFFIXES.items() if form in forms or suffix in kept)
    html = html or places.html.is_file()
    drawn = {figure.name: figures.draw(figure) for figure in report.document.figures()}
    places.figures.mkdir(parents=True, exist_ok=True)
    written: dict[Path, bytes] = {
        places.figures / f"{name}.svg": svg for name, svg in drawn.items()
    }
    for form in forms:
        written |= {
            places.tables / name: text.encode()
            for name, text in FORMS[form](report.document).items()
        }
    if html:
        from mtl.report.render.html import page

        written[places.html] = page(report.document, drawn).encode()
    if any(path.parent == places.tables for path in written):
        shutil.rmtree(places.tables, ignore_errors=True)
        places.tables.mkdir(parents=True)
    for old in places.figures.glob("*.svg"):
        if old not in written:
            old.unlink()
    archive.write(places.records, records)
    for path, content in written.items():
        write_bytes(path, content)
    write_bytes(places.markdown, report.markdown.encode())
    return [places.markdown, places.records, *written]
