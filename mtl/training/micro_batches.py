"""Micro-batches: the rows of a step in parts, which run one after another to save memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mtl.data.schedules import Step


def split(passes: Sequence[Step], parts: int) -> list[Step]:
    """Each pass in up to `parts` passes: each task's rows are cut into so many, equal but for one.

    A task with fewer rows has a row in each of the first ones. Rows keep their order.

    Example:
        >>> step = {"sst": np.arange(5), "sts": np.arange(1)}
        >>> [{task: rows.tolist() for task, rows in one.items()} for one in split([step], 2)]
        [{'sst': [0, 1, 2], 'sts': [0]}, {'sst': [3, 4]}]
    """
    if parts == 1:
        return list(passes)
    cut = [
        {task: np.array_split(rows, min(parts, len(rows))) for task, rows in one.items()}
        for one in passes
    ]
    return [
        {task: pieces[number] for task, pieces in one.items() if number < len(pieces)}
        for one in cut
        for number in range(max(map(len, one.values())))
    ]
