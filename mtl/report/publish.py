"""Makes a report from its records, and writes its files.

reports/<name>.md                    the report
reports/<name>/records.json.gz       what it is made from
               files.json            the names of its files
               figures/*.svg
               tables/*.csv, *.tex   with --csv, --latex
reports/<name>.html                  with --html
"""

from __future__ import annotations

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
from mtl.report.places import Places
from mtl.report.render import figures, markdown
from mtl.report.render import tables as table_files
from mtl.report.render.plain import cleaned
from mtl.report.studies.gather import study_report

FORMS: dict[str, Callable[[Document], dict[str, str]]] = {
    "csv": table_files.csv_files,
    "latex": table_files.latex_files,
}
"""Other forms of the tables: from a document to file names and their text."""

SUFFIXES = {"csv": ".csv", "latex": ".tex"}


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

    Forms that are there from before are written again too, so that nothing beside a report is older
    than it. Files of an earlier report that this one lacks are removed. Raises ConfigError where
    files of somebody else stand in the way; then nothing is written.
    """
    own = places.own_files()
    tables = places.tables.glob("*") if places.earlier() else own
    kept = {path.suffix for path in tables if path.parent == places.tables}
    forms = tuple(form for form, suffix in SUFFIXES.items() if form in forms or suffix in kept)
    html = html or places.html in own
    drawn = {figure.name: figures.draw(figure) for figure in report.document.figures()}
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
    files = [places.markdown, places.records, *written]
    places.check(files)
    for folder in {path.parent for path in files}:
        folder.mkdir(parents=True, exist_ok=True)
    # Named before they are written: after a kill the next call knows them.
    places.name_own({*own, *files})
    archive.write(places.records, records)
    for path, content in written.items():
        write_bytes(path, content)
    write_bytes(places.markdown, report.markdown.encode())
    for old in own.difference(files):
        old.unlink(missing_ok=True)
    places.name_own(files)
    return files
