"""`mtl report` as functions: write a report, or check the one that is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mtl.data.load import is_built_in
from mtl.errors import ConfigError, RunError
from mtl.report.archive import AnyArchive, StudyArchive
from mtl.report.places import Places
from mtl.report.publish import Report, make, publish
from mtl.report.stale import stale
from mtl.report.subject import Subject, find_subject, quotable_sentences
from mtl.report.upgrade import read

Form = Literal["html", "latex", "csv"]


@dataclass(frozen=True, kw_only=True)
class Written:
    """A report that was written. `files` begins with the Markdown.

    `private`: it quotes sentences of data that is not built in.
    """

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

    `name` None means the grid or study that ran last. `forms` adds an HTML page, or the tables as
    LaTeX or CSV. `text` None quotes sentences of the built-in data only. Raises ConfigError for an
    unknown name, RunError where the files of the subject are damaged.

    Example:
        >>> import mtl
        >>> written = mtl.write_report("quickstart", forms=["html"])  # doctest: +SKIP
        >>> print(written.files[0])  # doctest: +SKIP
        reports/quickstart.md
    """
    subject = find_subject(name, Path(runs), Path(output))
    places = Places(output=Path(output), name=subject.name)
    kept = _kept(places)
    if subject.has_runs:
        records = subject.gather(text=text, before=kept, write=True)
    else:
        records = read(places.records)
        if text is not None and not isinstance(records, StudyArchive):
            records = records.model_copy(update={"text": text})
    if text and isinstance(records, StudyArchive):
        raise ConfigError("--text: the report of a study quotes no sentences; leave it out.")
    if kept is not None and kept.kind != records.kind:
        raise ConfigError(
            f"{places.markdown}: is the report of a {kept.kind} of that name. Use another --output."
        )
    report = make(records, quotable_sentences(records, subject))
    files = publish(
        records,
        report,
        places,
        forms=tuple(form for form in forms if form != "html"),
        html="html" in forms,
    )
    return Written(
        report=report, places=places, files=tuple(files), private=_quotes_other_data(records)
    )


def _quotes_other_data(records: AnyArchive) -> bool:
    """Whether a report quotes sentences of data that is not built in."""
    if isinstance(records, StudyArchive):
        return False
    return records.text and not all(
        is_built_in(arm.config.data, arm.config.tasks) for arm in records.design.arms
    )


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The outcome of a check. `stale` is the first difference; None where there is none."""

    subject: Subject
    places: Places
    stale: str | None


def check_report(
    name: str | None = None, *, runs: str | Path = "runs", output: str | Path = "reports"
) -> Checked:
    """Compare a report with its records, and these with the runs where they are at hand."""
    subject = find_subject(name, Path(runs), Path(output))
    places = Places(output=Path(output), name=subject.name)
    records = read(places.records)
    fresh = subject.gather(text=records.text, before=records) if subject.has_runs else None
    report = make(records, quotable_sentences(records, subject))
    difference = stale(places, records, report, fresh=fresh)
    return Checked(subject=subject, places=places, stale=difference)


def _kept(places: Places) -> AnyArchive | None:
    """The records of an earlier report; None where there are none or they are damaged."""
    try:
        return read(places.records)
    except RunError:
        return None
