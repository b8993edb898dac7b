"""Shared by the tests of the built-in corpus: its rows, labels, pairs and words."""

from __future__ import annotations

import re

import numpy as np

from mtl.data.rows import Rows
from mtl.data.sample.build import sample_rows
from mtl.tasks.registry import TASKS
from mtl.tasks.task import Split, TaskName


def rows(name: TaskName, split: Split) -> Rows:
    return sample_rows(TASKS[name], split)


def labels(part: Rows) -> np.ndarray:
    assert part.labels is not None
    return part.labels


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())
