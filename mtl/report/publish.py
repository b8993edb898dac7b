"""Where a report lies, how it gets there, and whether what lies there is still what the records say.

reports/<name>.md                    the report
reports/<name>/records.json.gz       what it is made from
               figures/*.svg
               tables/*.csv, *.tex   where asked for
reports/<name>.html                  where asked for
"""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtl.errors import RunError, short
from mtl.files import write_bytes
from mtl.report import archive
from mtl.report.archive import Archive
from mtl.report.contents import build
from mtl.report.document import Document
from mtl.report.material import Material, Texts
from mtl.report.render import figures, markdown, tables
from mtl.report.render.plain import cleaned
from mtl.report.studies import study_report

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
    """A report in memory: its document, its Markdown, and what it says as plain data. A study has no `material`."""

    document: Document
    markdown: str
    plain: Mapping[str, Any]
    material: Material | None


def make(records: Archive, texts: Texts | None = None) -> Report:
    """The report that records make; `texts` are the sentences that may show."""
    material = None if records["kind"] == "study" else Material(records, texts)
    document: Document = cleaned(study_report(records) if material is None else build(material))
    plain = records["study"] if material is None else material.results.as_json()
    written = markdown.render(document, f"{records['name']}/figures")
    return Report(document=document, markdown=written, plain=plain, material=material)


def publish(
    records: Archive,
    report: Report,
    places: Places,
    *,
    forms: tuple[str, ...] = (),
    html: bool = False,
) -> list[Path]:
    """Write a report and what it is made from; returns the files. Figures that are no longer part of it go.

    Forms that are there from before are written again too, so that nothing beside a report is older than it.
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


def stale(places: Places, records: Archive, report: Report, *, fresh: Archive | None) -> str | None:
    """The first thing in which a published report differs from its records, or these from the runs (`fresh`); else None."""
    if fresh is not None and (found := first_difference(records, fresh)):
        return f"{places.records}: not what the runs say: {found}"
    try:
        written = places.markdown.read_text("utf-8")
    except FileNotFoundError:
        return f"{places.markdown}: missing"
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{places.markdown}: {error}.") from None
    if written != report.markdown:
        return f"{places.markdown}:{_first_line(written, report.markdown)}"
    expected = {
        f"{figure.name}.svg": figures.digest(figure) for figure in report.document.figures()
    }
    for name, digest in expected.items():
        path = places.figures / name
        if not path.is_file():
            return f"{path}: missing"
        if figures.digest_in(path.read_bytes()) != digest:
            return f"{path}: drawn from other numbers"
    for path in sorted(places.figures.glob("*")):
        if path.name not in expected:
            return f"{path}: no figure of this report"
    return _stale_tables(places, report.document) or _stale_page(places, report.document)


def first_difference(one: Any, other: Any, place: str = "") -> str | None:
    """Where two plain values differ first, in words; None where they are equal."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in (*one, *(key for key in other if key not in one)):
            inner = f"{place}.{key}" if place else str(key)
            if key not in one or key not in other:
                return f"{inner} is only {'there' if key in one else 'in the runs'}"
            if found := first_difference(one[key], other[key], inner):
                return found
        return None
    if isinstance(one, list) and isinstance(other, list):
        for at, (mine, yours) in enumerate(zip(one, other, strict=False)):
            if found := first_difference(mine, yours, f"{place}[{at}]"):
                return found
        same = len(one) == len(other)
        return None if same else f"{place} has {len(one)} entries, the runs say {len(other)}"
    if one == other and type(one) is type(other):
        return None
    return f"{place} is {short(one)}, the runs say {short(other)}"


def _stale_page(places: Places, document: Document) -> str | None:
    """Whether a page that is there is other than one made of the document and the figures that are there."""
    if not places.html.is_file():
        return None
    from mtl.report.render.html import page

    drawn = {
        figure.name: (places.figures / f"{figure.name}.svg").read_bytes()
        for figure in document.figures()
    }
    return (
        None
        if page(document, drawn) == places.html.read_text("utf-8")
        else f"{places.html}: other than the report"
    )


def _stale_tables(places: Places, document: Document) -> str | None:
    there = {path.name: path for path in sorted(places.tables.glob("*"))}
    for form, suffix in SUFFIXES.items():
        made = FORMS[form](document) if any(name.endswith(suffix) for name in there) else {}
        for name, text in made.items():
            path = there.pop(name, None)
            if path is None:
                return f"{places.tables / name}: missing"
            if path.read_text("utf-8") != text:
                return f"{path}: other than the report's table"
    return f"{next(iter(there.values()))}: no table of this report" if there else None


def _first_line(written: str, expected: str) -> str:
    """`12: is '...', should be '...'`: the first line that differs."""
    lines, others = written.splitlines(), expected.splitlines()
    for number, (line, other) in enumerate(zip(lines, others, strict=False), 1):
        if line != other:
            start = max(
                0,
                next(
                    iter(
                        difflib.SequenceMatcher(
                            None, line, other, autojunk=False
                        ).get_matching_blocks()
                    )
                ).size
                - 20,
            )
            return f"{number}: is {short(line[start:])}, the records say {short(other[start:])}"
    longer, what = (lines, "more than") if len(lines) > len(others) else (others, "less than")
    return f"{min(len(lines), len(others)) + 1}: {what} the records say: {short(longer[min(len(lines), len(others))])}"
