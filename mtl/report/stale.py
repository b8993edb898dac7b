"""Whether the files of a report are still what its records, and its runs, say."""

from __future__ import annotations

import math
from os.path import commonprefix
from typing import Any

from mtl.errors import RunError, short
from mtl.report.archive import AnyArchive, as_json
from mtl.report.document import Document
from mtl.report.places import Places
from mtl.report.publish import FORMS, SUFFIXES, Report
from mtl.report.render import figures


def stale(
    places: Places, records: AnyArchive, report: Report, *, fresh: AnyArchive | None
) -> str | None:
    """The first difference between a report and its records, or these and the runs; else None.

    `fresh` are the records that the runs give now; None where the runs are not at hand.
    """
    if fresh is not None:
        kept, now = as_json(records), as_json(fresh)
        if "ensembles" not in kept:  # those of an earlier version have none
            now.pop("ensembles", None)
        if difference := first_difference(kept, now):
            return f"{places.records}: not what the runs say: {difference}"
    try:
        written = places.markdown.read_text("utf-8")
    except FileNotFoundError:
        return f"{places.markdown}: missing"
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{places.markdown}: {error}.") from None
    if written != report.markdown:
        return f"{places.markdown}:{_first_line(written, report.markdown)}"
    document = report.document
    return (
        _stale_figures(places, document)
        or _stale_tables(places, document)
        or _stale_page(places, document)
    )


def first_difference(kept: Any, fresh: Any, place: str = "") -> str | None:
    """Where two plain values differ first, in words; None where they are equal.

    Floats that differ in their last bits are equal.
    """
    if isinstance(kept, dict) and isinstance(fresh, dict):
        return _difference_of_dicts(kept, fresh, place)
    if isinstance(kept, list) and isinstance(fresh, list):
        for at, (item, now) in enumerate(zip(kept, fresh, strict=False)):
            if difference := first_difference(item, now, f"{place}[{at}]"):
                return difference
        same = len(kept) == len(fresh)
        return None if same else f"{place} has {len(kept)} entries, the runs say {len(fresh)}"
    if isinstance(kept, float) and isinstance(fresh, float):
        # Another processor may add up in another order.
        equal = math.isclose(kept, fresh, rel_tol=1e-9, abs_tol=1e-12)
    else:
        equal = kept == fresh and type(kept) is type(fresh)
    return None if equal else f"{place} is {short(kept)}, the runs say {short(fresh)}"


def _difference_of_dicts(kept: dict[str, Any], fresh: dict[str, Any], place: str) -> str | None:
    for key in dict.fromkeys([*kept, *fresh]):
        inner = f"{place}.{key}" if place else str(key)
        if key not in kept or key not in fresh:
            return f"{inner} is only {'there' if key in kept else 'in the runs'}"
        if difference := first_difference(kept[key], fresh[key], inner):
            return difference
    return None


def _stale_figures(places: Places, document: Document) -> str | None:
    """The first figure that is missing, drawn from other numbers, or of no report."""
    digests = {f"{figure.name}.svg": figures.digest(figure) for figure in document.figures()}
    for name, digest in digests.items():
        path = places.figures / name
        if not path.is_file():
            return f"{path}: missing"
        if figures.digest_in(path.read_bytes()) != digest:
            return f"{path}: drawn from other numbers"
    for path in sorted(places.own_files()):
        if path.parent == places.figures and path.name not in digests:
            return f"{path}: not a figure of this report"
    return None


def _stale_tables(places: Places, document: Document) -> str | None:
    """The first table that is missing, differs from the report's, or is of no report."""
    own = sorted(places.own_files())
    there = {path.name: path for path in own if path.parent == places.tables}
    for form, suffix in SUFFIXES.items():
        if not any(name.endswith(suffix) for name in there):
            continue
        for name, text in FORMS[form](document).items():
            path = there.pop(name, None)
            if path is None:
                return f"{places.tables / name}: missing"
            if path.read_text("utf-8") != text:
                return f"{path}: differs from the table of the report"
    return f"{next(iter(there.values()))}: not a table of this report" if there else None


def _stale_page(places: Places, document: Document) -> str | None:
    """Why the HTML page is stale; None where it is not, or there is none."""
    if not places.html.is_file():
        return None
    from mtl.report.render.html import page

    pictures = {
        figure.name: (places.figures / f"{figure.name}.svg").read_bytes()
        for figure in document.figures()
    }
    if page(document, pictures) == places.html.read_text("utf-8"):
        return None
    return f"{places.html}: differs from the report"


def _first_line(written: str, expected: str) -> str:
    """`12: is '...', the records say '...'`: the first line that differs."""
    lines, records = written.splitlines(), expected.splitlines()
    for number, (line, record) in enumerate(zip(lines, records, strict=False), 1):
        if line != record:
            start = max(0, len(commonprefix([line, record])) - 20)
            return f"{number}: is {short(line[start:])}, the records say {short(record[start:])}"
    count = min(len(lines), len(records))
    if len(lines) > len(records):
        return f"{count + 1}: more than the records say: {short(lines[count])}"
    return f"{count + 1}: less than the records say: {short(records[count])}"
