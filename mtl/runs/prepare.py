"""Preparing a run: from a config to tokens, an encoder and the run's name.

The data's fingerprint covers all train and dev rows of the run's tasks, before `limit`, which is a
setting. The test split is not read here: only `mtl test` opens it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mtl.config import identity
from mtl.config.lora import Lora
from mtl.config.schema import RunConfig
from mtl.data.course.files import OnBadRow
from mtl.data.load import load_rows
from mtl.data.rows import Rows, fingerprint
from mtl.data.tokens import TokenizedRows, tokenize_rows
from mtl.errors import ConfigError
from mtl.model.families import FAMILIES
from mtl.model.find import find_encoder
from mtl.model.pairing import PAIRERS, Pairer
from mtl.model.pretrained import Pretrained
from mtl.rng import numpy_stream
from mtl.runs.record import Data
from mtl.tasks.task import Split, TaskName

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Part = tuple[TaskName, Split]
DataKey = tuple[str, tuple[TaskName, ...]]
"""Data source and tasks."""
TRAIN_SLICE = 400
"""Training rows per task that are scored beside dev. They depend on the data alone."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A run that can be trained. `train_slice` are the training rows that are scored like dev."""

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
        """The run's name: its cell and its seed."""
        return identity.run_id(self.cell, self.config.seed)


class Sources:
    """A cache of what runs share: rows, tokens and encoders. Each is read once.

    `on_bad_row` is `error` to refuse data with a bad row, or `skip` to leave the row out.
    """

    def __init__(self, on_bad_row: OnBadRow = "error") -> None:
        self._on_bad_row = on_bad_row
        self._rows: dict[DataKey, dict[Part, Rows]] = {}
        self._fingerprints: dict[DataKey, str] = {}
        self._pretrained: dict[str, Pretrained] = {}
        self._tokens: dict[tuple[DataKey, str], tuple[Tokenizer, dict[Part, TokenizedRows]]] = {}

    def pretrained(self, config: RunConfig) -> Pretrained:
        """The config's encoder. Raises EncoderError, or ConfigError where it is too small."""
        if config.encoder not in self._pretrained:
            pretrained = find_encoder(config.encoder)
            pretrained.check_weights()
            self._pretrained[config.encoder] = pretrained
        pretrained = self._pretrained[config.encoder]
        check_sizes(config, pretrained)
        return pretrained

    def rows(self, config: RunConfig) -> dict[Part, Rows]:
        """The train and dev rows of the config's tasks. Raises DataError."""
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

    def tokens(self, config: RunConfig) -> tuple[Tokenizer, dict[Part, TokenizedRows]]:
        """The encoder's tokenizer, and the rows in its tokens."""
        key = (config.data, config.tasks), config.encoder
        if key not in self._tokens:
            tokenizer = self.pretrained(config).tokenizer()
            self._tokens[key] = tokenizer, tokenize_rows(tokenizer, self.rows(config))
        return self._tokens[key]

    def cell(self, config: RunConfig) -> str:
        """The config's name without its seed. Raises ConfigError, DataError or EncoderError."""
        config = config.resolved()
        encoder = self.pretrained(config).fingerprint
        return identity.cell(config, data=self.fingerprint(config), encoder=encoder)

    def trained_rows(self, config: RunConfig) -> dict[TaskName, int]:
        """The number of rows of each task that the config trains on."""
        rows, limit = self.rows(config), config.limit
        sizes = {task: len(rows[task, "train"]) for task in config.tasks}
        return {task: size if limit is None else min(limit, size) for task, size in sizes.items()}

    def dev_rows(self, config: RunConfig) -> dict[TaskName, int]:
        """The number of dev rows of each task."""
        rows = self.rows(config)
        return {task: len(rows[task, "dev"]) for task in config.tasks}


def prepare(
    config: RunConfig, on_bad_row: OnBadRow = "error", sources: Sources | None = None
) -> Prepared:
    """Check a config, read and tokenise its data, and name the run.

    `sources` caches what was read, for the next run; its `on_bad_row` then replaces this one.
    Raises ConfigError, DataError or EncoderError before anything is computed.
    """
    config.check()
    config = config.resolved()
    sources = sources or Sources(on_bad_row)
    pretrained = sources.pretrained(config)
    tokenizer, tokenized = sources.tokens(config)
    train = {task: limit_rows(tokenized[task, "train"], config.limit) for task in config.tasks}
    return Prepared(
        config=config,
        pretrained=pretrained,
        pairer=make_pairer(config, pretrained),
        train=train,
        dev={task: tokenized[task, "dev"] for task in config.tasks},
        train_slice={task: limit_rows(train[task], TRAIN_SLICE) for task in config.tasks},
        cell=sources.cell(config),
        data=describe_data(sources.fingerprint(config), sources.rows(config), train),
    )


def check_sizes(config: RunConfig, pretrained: Pretrained) -> None:
    """Raise ConfigError where the encoder lacks something that the settings need."""
    unfrozen, layers = config.freeze.unfrozen, pretrained.encoder_config.layers
    positions, types = pretrained.encoder_config.longest, pretrained.encoder_config.types
    if unfrozen == layers and config.freeze.states == "fp16":
        raise ConfigError(
            f"freeze.unfrozen={unfrozen}: the encoder has {layers} layers, so no layer is frozen "
            "whose outputs freeze.states='fp16' could round. Use freeze.states=fp32."
        )
    if unfrozen != "all" and unfrozen > layers:
        raise ConfigError(
            f"freeze.unfrozen={unfrozen}: the encoder has {layers} layers. "
            f"Use 0 to {layers}, or all (which trains the embeddings too)."
        )
    check_adapters(config.lora, pretrained)
    if config.max_length > positions:
        raise ConfigError(
            f"max_length={config.max_length}: the encoder has {positions} positions; "
            "use at most that."
        )
    if config.pairing == "concat" and types == 1 and pretrained.layout.typed:
        raise ConfigError(
            "pairing=concat: the encoder has one token type (type_vocab_size in its config.json); "
            "joined pairs need two. Use pairing=siamese."
        )
    if config.pooling == "pooler" and not pretrained.family.pooler:
        raise ConfigError(
            f"pooling=pooler: encoder {config.encoder} ({pretrained.family.name}) has no pooler. "
            "Use pooling=mean, cls or max."
        )


def check_adapters(lora: Lora | None, pretrained: Pretrained) -> None:
    """Raise ConfigError where the encoder cannot have these adapters."""
    if lora is None:
        return
    width = pretrained.encoder_config.width
    if pretrained.path != "packed":
        raise ConfigError(
            f"lora: encoder {pretrained.name} ({pretrained.family.name}) is computed by "
            f"transformers, and only a packed encoder can have adapters ({', '.join(FAMILIES)}). "
            "Use lora=null, or another encoder."
        )
    if lora.rank > width:
        raise ConfigError(
            f"lora.rank={lora.rank}: the encoder's products are {width} wide, and a higher rank "
            f"adds nothing. Use 1 to {width}."
        )


def draws_pooler(config: RunConfig, pretrained: Pretrained) -> bool:
    """Whether a run uses a pooler that the weights lack: as after training as a language model."""
    return config.pooling == "pooler" and not pretrained.has_pooler


def make_pairer(config: RunConfig, pretrained: Pretrained) -> Pairer:
    """The config's pairing, with the special tokens of the encoder's tokenizer."""
    return PAIRERS[config.pairing](pretrained.layout, config.max_length)


def limit_rows(rows: TokenizedRows, limit: int | None) -> TokenizedRows:
    """At most `limit` rows, in file order.

    The choice does not depend on the seed. The rows of a smaller limit are among those of a larger.
    """
    if limit is None or len(rows) <= limit:
        return rows
    order = numpy_stream(0, f"limit/{rows.rows.task.name}/{len(rows)}").permutation(len(rows))
    return rows.take(np.sort(order[:limit]))


def describe_data(
    fingerprint: str, rows: dict[Part, Rows], train: dict[TaskName, TokenizedRows]
) -> Data:
    """The `data` part of the record."""
    return Data(
        fingerprint=fingerprint,
        parts={f"{split}/{task}": part.fingerprint() for (task, split), part in rows.items()},
        rows={f"{split}/{task}": len(part) for (task, split), part in rows.items()},
        trained_on={task: len(part) for task, part in train.items()},
        skipped={
            f"{split}/{task}": len(part.skipped)
            for (task, split), part in rows.items()
            if part.skipped
        },
    )
