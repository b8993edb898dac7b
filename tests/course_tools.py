"""Shared by the tests of course files: files of one bad row, and the refusals that they meet."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtl.data.course.files import read_course
from mtl.errors import DataError
from mtl.tasks.registry import TASKS
from mtl.tasks.task import Split, TaskName

SST, QUORA, STS = TASKS["sst"], TASKS["quora"], TASKS["sts"]
HEADER = {"sst": "\tid\tsentence\tsentiment\n"}
HEADER["quora"] = "\tid\tsentence1\tsentence2\tis_duplicate\n"
HEADER["sts"] = "\tid\tsentence1\tsentence2\tsimilarity\n"


def put(folder: Path, task: TaskName, body: str | bytes, split: Split = "dev") -> Path:
    """Write a course file: text gets the header, bytes are the whole file."""
    path = folder / TASKS[task].file_name(split)
    path.write_bytes(body if isinstance(body, bytes) else (HEADER[task] + body).encode())
    return path


def refusal(folder: Path, task: TaskName, body: str | bytes, split: Split = "dev") -> list[str]:
    """The lines of the error that reading `body` gives, without the folder."""
    put(folder, task, body, split)
    with pytest.raises(DataError) as error:
        read_course(folder, TASKS[task], split)
    assert error.value.exit_code == 2
    return str(error.value).replace(f"{folder}/", "").splitlines()
