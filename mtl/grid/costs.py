"""How long runs take, from runs that have ended: an estimate, never a promise.

A run's cost is counted in examples, and an example's in seconds, evaluation included. The rate is that of the runs with the
same encoder whose settings are nearest in what costs time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mtl.config.keys import flatten
from mtl.config.schema import RunConfig
from mtl.methods.toggles import COSTLY
from mtl.runs.record import Record
from mtl.tasks.registry import TaskName


class Costs:
    """Seconds an example, by settings; learns from every record that it is shown."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._seen: dict[str, dict[tuple[Any, ...], list[float]]] = {}
        self._nearest: dict[tuple[str, tuple[Any, ...]], float | None] = {}
        for record in records:
            self.learn(record)

    def learn(self, record: Record) -> None:
        """Take a run's cost into account, if it has ended well."""
        examples = record.diagnostics.examples
        if record.status == "done" and examples and record.seconds:
            rates = self._seen.setdefault(record.config["encoder"], {})
            rates.setdefault(_key(record.config), []).append(record.seconds / examples)
            self._nearest.clear()

    def seconds(self, config: RunConfig, examples: int) -> float | None:
        """What so many examples should take, or None where nothing has run yet."""
        key = config.encoder, _key(config.model_dump(mode="json"))
        if key not in self._nearest:
            self._nearest[key] = self._rate(*key)
        rate = self._nearest[key]
        return None if rate is None else rate * examples

    def _rate(self, encoder: str, key: tuple[Any, ...]) -> float | None:
        known = self._seen.get(encoder, {})
        distances = {seen: sum(a != b for a, b in zip(key, seen, strict=True)) for seen in known}
        nearest = min(distances.values(), default=0)
        rates = [
            rate
            for seen, distance in distances.items()
            if distance == nearest
            for rate in known[seen]
        ]
        return sum(rates) / len(rates) if rates else None


def _key(config: Mapping[str, Any]) -> tuple[Any, ...]:
    flat = flatten(dict(config)) | {"smart": config.get("smart") is not None}
    return tuple(repr(flat.get(name)) for name in COSTLY)


def examples(config: RunConfig, rows: Mapping[TaskName, int]) -> int:
    """How many training examples the run sees in all; `rows` are what it trains on, by task."""
    seen = config.train.epochs * sum(rows.values())
    most = config.train.max_steps
    return seen if most is None else min(seen, most * config.train.batch_size)
