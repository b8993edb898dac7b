"""From a config to rows of tokens: what every command that touches a model needs first.

The data's fingerprint covers the whole train and dev parts of the run's tasks, before `limit`, which the config holds
itself. Test is not read here: only `mtl test` opens it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mtl import identity
from mtl.config import RunConfig
from mtl.data.load import load_rows
from mtl.data.rows import Rows, fingerprint
from mtl.data.tokens import TokenizedRows, tokenize_rows
from mtl.errors import ConfigError
from mtl.pairing import PAIRERS, Pairer
from mtl.pretrained import Pretrained, find
from mtl.rng import numpy_stream
from mtl.tasks import Split, TaskName

if TYPE_CHECKING:
    from tokenizers import Tokenizer

OnBadRow = Literal["error", "skip"]
TRAIN_SLICE = 400
"""Training rows a task that are scored beside dev, the same ones in every run on the same data."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A run's data in tokens and its names. `train_slice` are training rows that are scored like dev."""

    config: RunConfig
    pretrained: Pretrained
    pairer: Pairer
    train: dict[TaskName, TokenizedRows]
    dev: dict[TaskName, TokenizedRows]
    train_slice: dict[TaskName, TokenizedRows]
    cell: str
    data: dict[str, Any]

    @property
    def run_id(self) -> str:
        return identity.run_id(self.cell, self.config.seed)


def prepare(config: RunConfig, on_bad_row: OnBadRow = "error") -> Prepared:
    """Read, check, tokenise and name. Raises ConfigError, DataError or EncoderError before anything is computed."""
    config.check()
    config = config.resolved()
    pretrained = find(config.encoder)
    check_sizes(config, pretrained)
    tokenizer = pretrained.tokenizer()
    rows = load_rows(config.data, config.tasks, ("train", "dev"), on_bad_row=on_bad_row)
    tokenized = tokenize_rows(tokenizer, rows)
    train = {task: limited(tokenized[task, "train"], config.limit) for task in config.tasks}
    found = fingerprint(rows)
    return Prepared(
        config=config,
        pretrained=pretrained,
        pairer=pairer(config, tokenizer),
        train=train,
        dev={task: tokenized[task, "dev"] for task in config.tasks},
        train_slice={task: limited(train[task], TRAIN_SLICE) for task in config.tasks},
        cell=identity.cell(config, data=found, encoder=pretrained.fingerprint),
        data=describe(found, rows, train),
    )


def check_sizes(config: RunConfig, pretrained: Pretrained) -> None:
    """Raises ConfigError for settings that the encoder is too small for."""
    unfrozen, layers = config.freeze.unfrozen, pretrained.shape.layers
    if unfrozen != "all" and unfrozen > layers:
        raise ConfigError(
            f"freeze.unfrozen={unfrozen}: the encoder has {layers} layers. "
            f"Use 0 to {layers}, or all (which trains the embeddings too)."
        )
    if config.max_length > pretrained.shape.positions:
        raise ConfigError(
            f"max_length={config.max_length}: the encoder has {pretrained.shape.positions} positions; use at most that."
        )


def pairer(config: RunConfig, tokenizer: Tokenizer) -> Pairer:
    """The config's pairing with this tokenizer's special tokens."""
    cls, sep = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    assert cls is not None  # `Pretrained.tokenizer` has checked
    assert sep is not None
    return PAIRERS[config.pairing](cls=cls, sep=sep, max_length=config.max_length)


def limited(rows: TokenizedRows, limit: int | None) -> TokenizedRows:
    """At most `limit` rows, in file order. A smaller limit's rows are among a larger one's, whatever the seed."""
    if limit is None or len(rows) <= limit:
        return rows
    order = numpy_stream(0, f"limit/{rows.rows.task.name}/{len(rows)}").permutation(len(rows))
    return rows.take(np.sort(order[:limit]))


def describe(
    found: str, rows: dict[tuple[TaskName, Split], Rows], train: dict[TaskName, TokenizedRows]
) -> dict[str, Any]:
    """The record's `data`: fingerprints, sizes, training rows used, and rows that were skipped."""
    return {
        "fingerprint": found,
        "parts": {f"{split}/{task}": part.fingerprint() for (task, split), part in rows.items()},
        "rows": {f"{split}/{task}": len(part) for (task, split), part in rows.items()},
        "trained_on": {task: len(part) for task, part in train.items()},
        "skipped": {f"{split}/{task}": len(part.skipped) for (task, split), part in rows.items() if part.skipped},
    }
