"""The prediction files of the CS224N default project: dev and test of each task, and their zip.

Format: `predictions/{sst,para,sts}-{dev,test}-output.csv`, a header and lines `id , prediction`.
Several runs are an ensemble (`mtl.inference.ensemble`).
Source: `evaluation.py` and `prepare_submit.py` of the course.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

from mtl.data.course.cells import shown
from mtl.data.course.files import OnBadRow, read_course
from mtl.data.load import BUILT_IN, data_folder, load_rows
from mtl.data.rows import Rows
from mtl.documents.keys import get_key
from mtl.errors import ConfigError, DataError
from mtl.files import read_bounded, write_bytes, write_json
from mtl.inference.trained import Trained, data_of_run
from mtl.tasks.metrics import Predictions, chosen_classes
from mtl.tasks.registry import TASKS, course_names
from mtl.tasks.task import Split, Task, TaskName

PLACES: tuple[Split, ...] = ("dev", "test")
MANIFEST = ".mtl-submission.json"
MAX_FILE = 1 << 28


def submission_rows(
    runs: Sequence[Trained], data: str | None, on_bad_row: OnBadRow = "error"
) -> dict[tuple[TaskName, Split], Rows]:
    """The dev and test rows of the three tasks, without test labels.

    `data` is where the data is; by default where the first run has it. Test sentences are those of
    `*-test-student.csv`; without that file those of `*-test.csv`. Raises ConfigError where no run
    was trained on a task, and DataError where a run was trained on other data.
    """
    names = course_names()
    absent = [task for task in names if not any(task in run.tasks for run in runs)]
    if absent:
        raise ConfigError(
            f"No run was trained on {', '.join(absent)}; the course takes predictions of "
            f"{', '.join(names)}. Name one more run."
        )
    place = data_of_run(runs[0], data, on_bad_row)
    for run in runs[1:]:
        data_of_run(run, place, on_bad_row)
    rows = load_rows(place, names, ("dev",), on_bad_row=on_bad_row)
    for name in names:
        task = TASKS[name]
        student = task.student_file
        if place in BUILT_IN or not (data_folder(place) / student).exists():
            rows |= load_rows(place, (name,), ("test",), on_bad_row=on_bad_row)
        else:
            rows[name, "test"] = read_course(
                data_folder(place), task, "test", on_bad_row=on_bad_row, name=student
            )
    return rows


def file_name(task: TaskName, split: Split) -> str:
    """The course's name of a file.

    >>> file_name("quora", "dev")
    'para-dev-output.csv'
    """
    return f"{TASKS[task].course.submission}-{split}-output.csv"


def file_text(task: Task, predictions: Predictions) -> str:
    """A file in the course's format. Raises DataError for an id that the format cannot hold."""
    lines = [f"id \t {task.course.header} \n"]
    values: Sequence[object]
    if task.kind == "score":
        values = [str(value) for value in predictions.outputs[:, 0]]
    else:
        chosen = chosen_classes(predictions).tolist()
        values = [float(label) for label in chosen] if task.kind == "binary" else chosen
    for row_id, value in zip(predictions.ids, values, strict=True):
        if "," in row_id or len(row_id.splitlines()) != 1:
            raise DataError(
                f"id {shown(row_id)}: the course's format holds no comma and no line end in an id."
            )
        lines.append(f"{row_id} , {value} \n")
    return "".join(lines)


def write_submission(folder: Path, texts: Mapping[str, str]) -> Path:
    """Write the files into a folder, and a zip of them beside it; returns the zip's path.

    Only files that an earlier call wrote are replaced. Raises ConfigError for any other.
    """
    archive = folder.with_name(f"{folder.name}.zip")
    contents = {folder / name: text.encode() for name, text in texts.items()}
    contents[archive] = _zipped(texts)
    manifest = folder / MANIFEST
    known = _written(manifest)
    before = {path: _digest_at(path) for path in contents}
    strange = [path for path, digest in before.items() if digest and digest not in known]
    if strange:
        raise ConfigError(
            f"{', '.join(map(str, strange))}: not written by `mtl submit`, or changed since. Move "
            "it away, or name another folder with --output."
        )
    folder.mkdir(parents=True, exist_ok=True)
    # The list is written first: a file of a call that was killed is known to the next one.
    digests = {digest for digest in before.values() if digest}
    digests |= {hashlib.sha256(content).hexdigest() for content in contents.values()}
    write_json(manifest, {"schema": 1, "sha256": sorted(digests)})
    for path, content in contents.items():
        write_bytes(path, content)
    return archive


def _zipped(texts: Mapping[str, str]) -> bytes:
    """The zip, with the same bytes for the same files."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            entry = zipfile.ZipInfo(f"predictions/{name}")
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, text, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _written(manifest: Path) -> frozenset[str]:
    """The digests of the files that were written before; none without a list that can be read."""
    try:
        digests = get_key(json.loads(read_bounded(manifest, MAX_FILE)), "sha256", [])
        return frozenset(digest for digest in digests if isinstance(digest, str))
    except (OSError, ValueError, TypeError, RecursionError):
        return frozenset()


def _digest_at(path: Path) -> str | None:
    """The digest of what is at a path; text that is no digest for a folder, a link or a device."""
    if not path.is_symlink() and not path.exists():
        return None
    if path.is_symlink() or not path.is_file():
        return "not a plain file"
    try:
        return hashlib.sha256(read_bounded(path, MAX_FILE)).hexdigest()
    except (OSError, ValueError):
        return "cannot be read"
