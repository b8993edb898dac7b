"""From a config to rows of tokens: what every command that touches a model needs first.

The data's fingerprint covers the whole train and dev parts of the run's tasks, before `limit`, which the config holds
itself. Test is not read here: only `mtl test` opens it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from mtl.config import identity
from mtl.config.schema import RunConfig
from mtl.data.load import load_rows
from mtl.data.rows import Rows, fingerprint
from mtl.data.tokens import TokenizedRows, tokenize_rows
from mtl.errors import ConfigError
from mtl.model.pairing import PAIRERS, Pairer
from mtl.model.pretrained import Pretrained, find_encoder
from mtl.rng import numpy_stream
from mtl.runs.record import Data
from mtl.tasks.registry import Split, TaskName

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
    data: Data

    @property
    def run_id(self) -> str:
        return identity.run_id(self.cell, self.config.seed)


class Sources:
    """What many runs share, read once and kept: rows, their tokens, and the files of encoders."""

    def __init__(self, on_bad_row: OnBadRow = "error") -> None:
        self._on_bad_row = on_bad_row
        self._rows: dict[tuple[str, tuple[TaskName, ...]], dict[tuple[TaskName, Split], Rows]] = {}
        self._fingerprints: dict[tuple[str, tuple[TaskName, ...]], str] = {}
        self._pretrained: dict[str, Pretrained] = {}
        self._tokens: dict[
            tuple[str, tuple[TaskName, ...], str],
            tuple[Tokenizer, dict[tuple[TaskName, Split], TokenizedRows]],
        ] = {}

    def pretrained(self, config: RunConfig) -> Pretrained:
        """The config's encoder. Raises EncoderError, or ConfigError for settings that it is too small for."""
        if config.encoder not in self._pretrained:
            self._pretrained[config.encoder] = find_encoder(config.encoder)
        pretrained = self._pretrained[config.encoder]
        check_sizes(config, pretrained)
        return pretrained

    def rows(self, config: RunConfig) -> dict[tuple[TaskName, Split], Rows]:
        """Train and dev of the config's tasks. Raises DataError."""
        key = config.data, config.tasks
        if key not in self._rows:
            self._rows[key] = load_rows(
                config.data, config.tasks, ("train", "dev"), on_bad_row=self._on_bad_row
            )
        return self._rows[key]

    def fingerprint(self, config: RunConfig) -> str:
        """The fingerprint of the config's data."""
        key = config.data, config.tasks
        if key not in self._fingerprints:
            self._fingerprints[key] = fingerprint(self.rows(config))
        return self._fingerprints[key]

    def tokens(
        self, config: RunConfig
    ) -> tuple[Tokenizer, dict[tuple[TaskName, Split], TokenizedRows]]:
        """The encoder's tokenizer, and the config's data in its tokens."""
        key = config.data, config.tasks, config.encoder
        if key not in self._tokens:
            tokenizer = self.pretrained(config).tokenizer()
            self._tokens[key] = tokenizer, tokenize_rows(tokenizer, self.rows(config))
        return self._tokens[key]

    def cell(self, config: RunConfig) -> str:
        """What names the config, whatever its seed. Raises ConfigError, DataError or EncoderError."""
        config = config.resolved()
        encoder = self.pretrained(config).fingerprint
        return identity.cell(config, data=self.fingerprint(config), encoder=encoder)

    def trained_rows(self, config: RunConfig) -> dict[TaskName, int]:
        """How many rows of each task the config trains on."""
        rows, limit = self.rows(config), config.limit
        sizes = {task: len(rows[task, "train"]) for task in config.tasks}
        return {task: size if limit is None else min(limit, size) for task, size in sizes.items()}


def prepare(
    config: RunConfig, on_bad_row: OnBadRow = "error", sources: Sources | None = None
) -> Prepared:
    """Read, check, tokenise and name. Raises ConfigError, DataError or EncoderError before anything is computed.

    `sources` keeps what was read for the next run; whoever gives one has chosen there what is done with bad rows.
    """
    config.check()
    config = config.resolved()
    sources = sources or Sources(on_bad_row)
    pretrained = sources.pretrained(config)
    tokenizer, tokenized = sources.tokens(config)
    train = {task: limited(tokenized[task, "train"], config.limit) for task in config.tasks}
    return Prepared(
        config=config,
        pretrained=pretrained,
        pairer=pairer(config, tokenizer),
        train=train,
        dev={task: tokenized[task, "dev"] for task in config.tasks},
        train_slice={task: limited(train[task], TRAIN_SLICE) for task in config.tasks},
        cell=sources.cell(config),
        data=describe(sources.fingerprint(config), sources.rows(config), train),
    )


def check_sizes(config: RunConfig, pretrained: Pretrained) -> None:
    """Raises ConfigError for settings that the encoder is too small for."""
    unfrozen, layers = config.freeze.unfrozen, pretrained.encoder_config.layers
    if unfrozen == layers and config.freeze.states == "fp16":
        raise ConfigError(
            f"freeze.unfrozen={unfrozen}: the encoder has {layers} layers, so no layer is frozen whose outputs "
            "freeze.states='fp16' could round. Use freeze.states=fp32."
        )
    if unfrozen != "all" and unfrozen > layers:
        raise ConfigError(
            f"freeze.unfrozen={unfrozen}: the encoder has {layers} layers. "
            f"Use 0 to {layers}, or all (which trains the embeddings too)."
        )
    if config.max_length > pretrained.encoder_config.positions:
        raise ConfigError(
            f"max_length={config.max_length}: the encoder has {pretrained.encoder_config.positions} positions; use at most that."
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
) -> Data:
    """The record's `data`: fingerprints, sizes, training rows used, and rows that were skipped."""
    return Data(
        fingerprint=found,
        parts={f"{split}/{task}": part.fingerprint() for (task, split), part in rows.items()},
        rows={f"{split}/{task}": len(part) for (task, split), part in rows.items()},
        trained_on={task: len(part) for task, part in train.items()},
        skipped={
            f"{split}/{task}": len(part.skipped)
            for (task, split), part in rows.items()
            if part.skipped
        },
    )
