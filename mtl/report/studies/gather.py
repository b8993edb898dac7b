"""The results that a study left, as the kept records of a report.

The report is called `study-NAME`, since a grid may have the same name.
"""

from __future__ import annotations

import json
from pathlib import Path

from mtl.errors import RunError
from mtl.report.archive import StudyArchive
from mtl.report.document import Document
from mtl.report.paths import each_text, without_paths
from mtl.runs.folder import STUDIES
from mtl.study.storage import study_folder

RESULTS = "results.json"
PREFIX = "study-"


def study_results(runs: Path, name: str) -> Path:
    """The results file of a study of that name."""
    return study_folder(runs, name) / RESULTS


def studies_among(runs: Path) -> list[str]:
    """The names of the studies that have results."""
    return sorted(path.parent.name for path in (runs / STUDIES).glob(f"*/{RESULTS}"))


def gather_study(folder: Path) -> StudyArchive:
    """The records of a study. Raises RunError where its results are missing or damaged."""
    path, runs = folder / RESULTS, folder.parent.parent
    try:
        results = json.loads(path.read_text("utf-8"))
        return StudyArchive(
            name=f"{PREFIX}{results['name']}",
            question=results["question"],
            study=each_text(results, lambda text: without_paths(text, runs)),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: {error}. `mtl study optimize {folder.name}` writes it.") from None


def study_report(archive: StudyArchive) -> Document:
    """The document of a study's records. Raises RunError where the results are damaged."""
    from pydantic import ValidationError

    from mtl.report.studies.document import study_document
    from mtl.study.results import StudyResults

    try:
        results = StudyResults.model_validate(archive.study)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise RunError(
            f"{archive.name}: the results of the study are damaged at {place}: {first['msg']}."
        ) from None
    return study_document(results)
