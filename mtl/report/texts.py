"""The sentences of dev rows, for example lists. They are read from the data each time and kept nowhere."""

from __future__ import annotations

from collections.abc import Container, Iterable

from mtl.config.schema import RunConfig
from mtl.data.load import load_rows
from mtl.data.rows import Rows
from mtl.report.material import Texts
from mtl.tasks.registry import TaskName


def dev_sentences(configs: Iterable[RunConfig], fingerprints: Container[str]) -> Texts:
    """The sentences of every config's dev rows by task and id; none of rows that have changed since (`fingerprints`).

    Raises DataError where data is not at hand.
    """
    found: dict[tuple[TaskName, str], tuple[str, ...]] = {}
    for data, task in sorted({(config.data, task) for config in configs for task in config.tasks}):
        part = load_rows(data, [task], ["dev"], on_bad_row="skip")[task, "dev"]
        if part.fingerprint() in fingerprints:
            found |= {
                (task, row): sentences
                for row, sentences in zip(part.ids, _sentences(part), strict=True)
            }
    return found


def _sentences(part: Rows) -> list[tuple[str, ...]]:
    if part.second is None:
        return [(one,) for one in part.first]
    return list(zip(part.first, part.second, strict=True))
