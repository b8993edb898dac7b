"""A study in the shape of any other report: the results that it left, as records, and the document that they make.

Its report is called `study-NAME`, since a grid may have the same name.
"""

from __future__ import annotations

import json
from pathlib import Path

from mtl.errors import RunError
from mtl.report.archive import SCHEMA, Archive
from mtl.report.document import Document
from mtl.report.gather import each_text, without_paths
from mtl.runs.folder import STUDIES
from mtl.study.storage import study_folder

RESULTS = "results.json"
PREFIX = "study-"


def study_results(runs: Path, name: str) -> Path:
    """The results that a study of that name left among runs."""
    return study_folder(runs, name) / RESULTS


def studies_among(runs: Path) -> list[str]:
    """The names of the studies among runs that have found something."""
    return sorted(path.parent.name for path in (runs / STUDIES).glob(f"*/{RESULTS}"))


def gather_study(folder: Path) -> Archive:
    """The records of a study. Raises RunError where its results are missing or damaged."""
    path = folder / RESULTS
    try:
        results = json.loads(path.read_text("utf-8"))
        name, question = results["name"], results["question"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: {error}. `mtl study optimize {folder.name}` writes it.") from None
    runs = folder.parent.parent
    plain = each_text(results, lambda words: without_paths(words, runs))
    return {
        "schema": SCHEMA, "kind": "study", "name": f"{PREFIX}{name}", "question": question, "text": False, "study": plain,
    }  # fmt: skip


def study_report(records: Archive) -> Document:
    """The document that a study's records make. Raises RunError where they do not fit together."""
    from pydantic import TypeAdapter, ValidationError

    from mtl.report.study_document import study_document
    from mtl.study.results import StudyResults

    try:
        results = TypeAdapter(StudyResults).validate_python(records["study"])
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise RunError(
            f"{records['name']}: the study's results are damaged at {place}: {first['msg']}."
        ) from None
    return study_document(results)
