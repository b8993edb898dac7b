"""`mtl report` as functions: find what is meant, make its report, write it or say whether the one that lies there is stale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mtl.errors import ConfigError, RunError
from mtl.report import archive
from mtl.report.archive import Archive
from mtl.report.publish import Places, Report, make, publish, stale
from mtl.report.source import Source, find_source, texts_of

Form = Literal["html", "latex", "csv"]


@dataclass(frozen=True, kw_only=True)
class Written:
    """A report that was written, its files with the Markdown first, and whether they hold sentences of data not built in."""

    report: Report
    places: Places
    files: tuple[Path, ...]
    private: bool


def write_report(
    name: str | None = None,
    *,
    runs: str | Path = "runs",
    output: str | Path = "reports",
    forms: Sequence[Form] = (),
    text: bool | None = None,
) -> Written:
    """Make the report of a grid, a study, a run or kept records, and write it below `output`.

    `name` None is the grid or study that was at work last. `text` None shows sentences of the built-in data only. Raises ConfigError
    where the name means nothing, RunError where its files are damaged.
    """
    source = find_source(name, Path(runs), Path(output))
    places = Places(output=Path(output), name=source.name)
    kept = _kept(places)
    if source.has_runs:
        records = source.gather(text=text, before=kept)
    else:
        records = archive.read(places.records)
        records["text"] = records["text"] if text is None else text
    if text and records["kind"] == "study":
        raise ConfigError("--text: a study's report shows no sentences; leave it out.")
    if kept is not None and kept["kind"] != records["kind"]:
        raise ConfigError(
            f"{places.markdown}: the report of a {kept['kind']} of that name lies there. Use another --output."
        )
    report = make(records, texts_of(records, source))
    files = publish(
        records,
        report,
        places,
        forms=tuple(form for form in forms if form != "html"),
        html="html" in forms,
    )
    private = records["text"] and any(
        arm["config"]["data"] != "sample" for arm in records["design"]["arms"]
    )
    return Written(report=report, places=places, files=tuple(files), private=private)


@dataclass(frozen=True, kw_only=True)
class Checked:
    """Whether a report is stale, and in what first; None where it is what its records, and the runs if at hand, say."""

    source: Source
    places: Places
    stale: str | None


def check_report(
    name: str | None = None, *, runs: str | Path = "runs", output: str | Path = "reports"
) -> Checked:
    """Compare the report that lies below `output` with its records, and these with the runs where they are at hand."""
    source = find_source(name, Path(runs), Path(output))
    places = Places(output=Path(output), name=source.name)
    records = archive.read(places.records)
    fresh = source.gather(text=records["text"], before=records) if source.has_runs else None
    found = stale(places, records, make(records, texts_of(records, source)), fresh=fresh)
    return Checked(source=source, places=places, stale=found)


def _kept(places: Places) -> Archive | None:
    """The records of an earlier report, for what they know that runs do not tell; damaged ones are written anew."""
    try:
        return archive.read(places.records)
    except RunError:
        return None
