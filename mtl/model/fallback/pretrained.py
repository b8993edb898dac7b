"""An encoder's files, read through `transformers`: what the packed encoder does not compute.

The extra `transformers` is needed. Code in the folder is never run, pickled weights are never
loaded, and nothing is downloaded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mtl.data.tokens import content
from mtl.errors import EncoderError
from mtl.model.encoder_config import EncoderConfig
from mtl.model.families import BERT, Family
from mtl.model.layout import file_layout, takes_types
from mtl.model.pairing import Layout
from mtl.model.pretrained import Pretrained
from mtl.model.tokenizer import reason
from mtl.model.weights import weight_files

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from mtl.model.fallback.encoder import FallbackEncoder

EXTRA = "pip install 'mtl-ablate[transformers]'"
DROPOUT = 0.1
"""While the model is built: modules without dropout would have no place for it."""


@dataclass(frozen=True)
class FallbackPretrained(Pretrained):
    """An encoder's files, for `transformers.AutoModel`."""

    path = "transformers"

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The contents of `config.json`."""
        return self.raw_settings

    @cached_property
    def _config(self) -> Any:
        """The model's configuration. Raises EncoderError where it is of no encoder."""
        transformers = _transformers(self.kind)
        place = self.folder / "config.json"
        if "auto_map" in self.settings:
            raise EncoderError(f"{place}: auto_map: code of a model's own is never run.")
        with _quiet(transformers):
            try:
                config = transformers.AutoConfig.from_pretrained(self.folder, local_files_only=True)
            except Exception as error:  # the library raises many kinds
                raise EncoderError(
                    f"{place}: transformers cannot read it: {reason(error)}."
                ) from None
        if config.is_encoder_decoder:
            raise EncoderError(f"{place}: {self.kind} has a decoder; an encoder is needed.")
        return config

    @property
    def kind(self) -> str:
        """The `model_type`."""
        return str(self.settings.get("model_type"))

    @property
    def version(self) -> str:
        """The version of `transformers`."""
        return str(_transformers(self.kind).__version__)

    @cached_property
    def encoder_config(self) -> EncoderConfig:
        """The encoder's sizes, in the names that all models of `transformers` share."""
        config, place = self._config, self.folder / "config.json"

        def size(name: str, usual: int | None = None) -> int:
            value = getattr(config, name, usual)
            if not isinstance(value, int) or value < (1 if usual is None else 0):
                raise EncoderError(f"{place}: {name}: {self.kind} gives none; it is needed.")
            return value

        return EncoderConfig(
            vocabulary=size("vocab_size"),
            positions=size("max_position_embeddings", 10**6) or 10**6,
            types=size("type_vocab_size", 0),
            width=size("hidden_size"),
            layers=size("num_hidden_layers"),
            attention_heads=size("num_attention_heads"),
            inner=size("intermediate_size", 0),
            family=self.kind,
        )

    @property
    def family(self) -> Family:
        """A family of the model's name without a pooler; it has no table of weights."""
        return replace(BERT, name=self.kind, model=type(self._config).__name__, pooler=False)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of a sha256 over weights, settings, tokenizer and `transformers` version.

        Raises EncoderError.
        """
        digest = hashlib.sha256(f"encoder-transformers-1\0{self.version}\0".encode())
        digest.update(self._weights_digest.encode())
        digest.update(json.dumps(self.settings, sort_keys=True).encode())
        digest.update(b"\0tokens\0" + content(self._fast) + repr(self.layout).encode())
        return digest.hexdigest()[:16]

    @cached_property
    def _fast(self) -> Tokenizer:
        """The tokenizer of the family's class, without truncation and padding."""
        found: Tokenizer = self._auto._tokenizer
        found.no_truncation()
        found.no_padding()
        found.encode_special_tokens = bool(getattr(self._auto, "split_special_tokens", False))
        return found

    @cached_property
    def _auto(self) -> Any:
        transformers = _transformers(self.kind)
        with _quiet(transformers):
            try:
                found = transformers.AutoTokenizer.from_pretrained(
                    self.folder, local_files_only=True
                )
            except Exception as error:  # as above
                raise EncoderError(
                    f"{self.folder}: transformers cannot read its tokenizer: {reason(error)}."
                ) from None
        if not getattr(found, "_tokenizer", None):
            raise EncoderError(f"{self.folder}: {type(found).__name__} has no tokenizer.json.")
        return found

    def tokenizer(self) -> Tokenizer:
        """The tokenizer. Raises EncoderError where it does not fit the weights."""
        self._check_vocabulary(self._fast, self.folder)
        return self._fast

    @cached_property
    def layout(self) -> Layout:
        """The special tokens that the tokenizer puts around one text and two."""
        types = bool(self.encoder_config.types)
        try:
            layout = file_layout(self._fast, types=types)
        except ValueError as error:
            raise EncoderError(f"{self.folder}: the tokenizer: {error}.") from None
        if types and not takes_types(self._auto.init_kwargs):
            return replace(layout, typed=False)
        return layout

    @property
    def special_tokens(self) -> Mapping[str, str]:
        """The special tokens by their keys."""
        found = self._auto.special_tokens_map
        return {key: str(value) for key, value in found.items() if isinstance(value, str)}

    def check_weights(self) -> None:
        """Raise EncoderError for weights that are absent, and for a model that is no encoder."""
        _ = self._weights_digest, self.encoder_config

    @property
    def has_pooler(self) -> bool:
        """Whether a pooler is used: never; the pooler is BERT's."""
        return False

    def load(self, seed: int = 0) -> FallbackEncoder:
        """The encoder in float32. Raises EncoderError where weights are missing or damaged."""
        import torch

        from mtl.model.fallback.encoder import FallbackEncoder

        transformers = _transformers(self.kind)
        with _quiet(transformers):
            try:
                model, report = transformers.AutoModel.from_pretrained(
                    self.folder, config=_with_dropout(self._config), dtype=torch.float32,
                    local_files_only=True, use_safetensors=True, output_loading_info=True,
                )  # fmt: skip
            except Exception as error:  # as above
                raise EncoderError(
                    f"{self.folder}: transformers cannot load it: {reason(error)}."
                ) from None
        missing = sorted(name for name in report["missing_keys"] if "pooler" not in name)
        if missing:
            raise EncoderError(
                f"{weight_files(self.folder)[0]}: the tensor {missing[0]} is missing."
            )
        padding = self._auto.pad_token_id
        return FallbackEncoder(model, self.encoder_config, 0 if padding is None else padding)


def _with_dropout(config: Any) -> Any:
    """A copy of a configuration in which every dropout exists."""
    changed = deepcopy(config)
    for name, value in vars(config).items():
        if "dropout" in name and isinstance(value, float):
            setattr(changed, name, DROPOUT)
    return changed


def _transformers(kind: str) -> Any:
    try:
        import transformers
    except ImportError:
        raise EncoderError(
            f"encoders of the kind {kind} are computed through transformers, which is not "
            f"installed. Install it: {EXTRA}."
        ) from None
    return transformers


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """No progress bars and no warnings of `transformers`."""
    logging = transformers.utils.logging
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        logging.enable_progress_bar()
