"""Estimates of how long runs take, from the records of finished runs.

The estimate is the number of training examples times seconds per example, evaluation included. The
rate is the mean over the runs with the same encoder and the nearest settings that affect speed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mtl.config.schema import ADDED, RunConfig, default_of
from mtl.config.sections import OPTIONAL
from mtl.documents.keys import flatten
from mtl.methods.toggles import COSTLY
from mtl.runs.record import Record, Spent


class Costs:
    """Seconds per example by settings, learnt from records."""

    def __init__(self, records: Iterable[Record | Spent] = ()) -> None:
        self._rates: dict[str, dict[tuple[Any, ...], list[float]]] = {}
        self._nearest: dict[tuple[str, tuple[Any, ...]], float | None] = {}
        for record in records:
            self.learn(record)

    def learn(self, record: Record | Spent) -> None:
        """Add the rate of a run that is done."""
        examples = record.diagnostics.examples
        if record.status == "done" and examples and record.seconds:
            rates = self._rates.setdefault(record.config["encoder"], {})
            rates.setdefault(_key(record.config), []).append(record.seconds / examples)
            self._nearest.clear()

    def seconds(self, config: RunConfig, examples: int) -> float | None:
        """Estimated seconds for that many examples; None if nothing comparable has run."""
        key = config.encoder, _key(config.model_dump(mode="json"))
        if key not in self._nearest:
            self._nearest[key] = self._rate(*key)
        rate = self._nearest[key]
        return None if rate is None else rate * examples

    def _rate(self, encoder: str, key: tuple[Any, ...]) -> float | None:
        known = self._rates.get(encoder, {})
        distances = {
            settings: sum(a != b for a, b in zip(key, settings, strict=True)) for settings in known
        }
        nearest = min(distances.values(), default=0)
        rates = [
            rate
            for settings, distance in distances.items()
            if distance == nearest
            for rate in known[settings]
        ]
        return sum(rates) / len(rates) if rates else None


_NEWER = {name: default_of(name) for name in COSTLY if name in ADDED}
"""What older records do not have, as they ran."""


ON_OR_OFF = (*OPTIONAL, "rdrop")
"""Settings whose cost depends on whether they are null, not on their value."""


def _key(config: Mapping[str, Any]) -> tuple[Any, ...]:
    enabled = {name: config.get(name) is not None for name in ON_OR_OFF}
    flat = _NEWER | flatten(dict(config)) | enabled
    return tuple(repr(flat.get(name)) for name in COSTLY)
