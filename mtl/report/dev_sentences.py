"""The sentences of dev rows, for lists of examples.

They are read from the data each time and never kept.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

from mtl.config.schema import RunConfig
from mtl.data.load import load_rows
from mtl.data.rows import Rows
from mtl.report.data import Sentences
from mtl.tasks.task import TaskName


def dev_sentences(configs: Iterable[RunConfig], fingerprints: Container[str]) -> Sentences:
    """The sentences of the dev rows of every config, by task and id.

    Rows whose fingerprint is not among `fingerprints` have changed since, and are left out. Raises
    DataError where data is not at hand.
    """
    sentences: dict[tuple[TaskName, str], tuple[str, ...]] = {}
    for data, task in sorted({(config.data, task) for config in configs for task in config.tasks}):
        part = load_rows(data, [task], ["dev"], on_bad_row="skip")[task, "dev"]
        if part.fingerprint() in fingerprints:
            sentences |= {
                (task, row): texts for row, texts in zip(part.ids, _sentences(part), strict=True)
            }
    return sentences


def _sentences(part: Rows) -> list[tuple[str, ...]]:
    if part.second is None:
        return [(text,) for text in part.first]
    return list(zip(part.first, part.second, strict=True))
