"""A model's outputs for whole splits, without dropout or gradient.

Each distinct sequence is encoded once. Sequences are sorted by length and packed up to a number of
tokens, so that attention sees hardly any padding.
Shapes: S sequences, H width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from mtl.config.sections import Precision
from mtl.data.tokens import TokenizedRows
from mtl.model.frozen.cache import DISABLED, FrozenCache
from mtl.model.multitask import MultiTaskModel
from mtl.model.packing import pack
from mtl.model.pairing import Pairer
from mtl.tasks.metrics import Predictions
from mtl.tasks.registry import TASKS
from mtl.tasks.task import TaskName

TOKENS_A_PASS = {"cpu": 2048, "cuda": 65536}
"""The most tokens in a pass through the encoder."""

ROWS_A_HEAD = 4096
"""The most rows in a call of a head."""

RowRange = Callable[[int, int], Tensor]
"""The vectors of the rows from start to stop (excluded), (stop - start, H)."""


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """A context for matrix products in bfloat16; a no-op for fp32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


class Evaluator:
    """Runs a model over rows. `check_stop` is called between passes; it may raise to stop."""

    def __init__(
        self,
        model: MultiTaskModel,
        pairer: Pairer,
        device: torch.device,
        precision: Precision = "fp32",
        check_stop: Callable[[], None] = lambda: None,
        frozen_cache: FrozenCache = DISABLED,
    ) -> None:
        self.model = model
        self.pairer = pairer
        self.device = device
        self.precision: Precision = precision
        self.check_stop = check_stop
        self.frozen_cache = frozen_cache

    def predict(self, rows: TokenizedRows) -> Predictions:
        """The outputs for all rows, in order, float32 (rows, outputs)."""
        part = rows.rows
        outputs = (
            self._outputs(rows) if len(rows) else np.zeros((0, part.task.outputs), dtype=np.float32)
        )
        return Predictions(
            task=part.task.name, split=part.split, ids=part.ids, gold=part.labels, outputs=outputs
        )

    def predict_all(self, rows: Mapping[TaskName, TokenizedRows]) -> dict[TaskName, Predictions]:
        """Predictions for each task."""
        return {task: self.predict(part) for task, part in rows.items()}

    @torch.inference_mode()
    def _outputs(self, rows: TokenizedRows) -> np.ndarray:
        task = rows.rows.task
        first, second = self._vectors(rows)
        head = self.model.head(task.name)
        outputs = []
        for start in range(0, len(rows), ROWS_A_HEAD):
            self.check_stop()
            stop = start + ROWS_A_HEAD
            with autocast(self.device, self.precision):
                chunk = head(first(start, stop), second(start, stop) if second else None, 0.0)
            outputs.append(chunk.float().reshape(-1, TASKS[task.name].outputs))
        return torch.cat(outputs).cpu().numpy()

    def _vectors(self, rows: TokenizedRows) -> tuple[RowRange, RowRange | None]:
        """The vectors of the rows' first and second sequences; None where rows have one each."""
        table = rows.table
        if rows.second is not None and self.pairer.vectors == 1:
            first = [table.sentence(i) for i in rows.first]
            encoded = self._encode(
                *self.pairer.pairs(first, [table.sentence(i) for i in rows.second])
            )
            return (lambda start, stop: encoded[start:stop]), None
        columns = [rows.first] if rows.second is None else [rows.first, rows.second]
        distinct, inverse = np.unique(np.concatenate(columns), return_inverse=True)
        encoded = self._encode(*self.pairer.singles([table.sentence(i) for i in distinct]))
        places = [
            torch.from_numpy(part).to(self.device) for part in np.split(inverse, len(columns))
        ]

        def column(place: Tensor) -> RowRange:
            return lambda start, stop: encoded[place[start:stop]]

        return column(places[0]), column(places[1]) if len(places) == 2 else None

    def _encode(self, ids: list[np.ndarray], types: list[np.ndarray]) -> Tensor:
        """Sequence vectors (S, H), float32, in the order given."""
        lengths = np.array([len(sequence) for sequence in ids])
        order = np.argsort(lengths, kind="stable")
        budget = TOKENS_A_PASS.get(self.device.type, TOKENS_A_PASS["cuda"])
        cuts = np.flatnonzero(np.diff(np.cumsum(lengths[order]) // budget)) + 1
        width = self.model.encoder.config.width
        vectors = torch.empty(len(ids), width, device=self.device)
        for chunk in np.split(order, cuts):
            self.check_stop()
            sequences = [ids[i] for i in chunk], [types[i] for i in chunk]
            packed = pack(*sequences).to(self.device)
            states = self.frozen_cache.lookup(*sequences)
            with autocast(self.device, self.precision):
                encoded = self.model.encode(packed, states)
            vectors[torch.from_numpy(chunk).to(self.device)] = encoded.float()
        return vectors
