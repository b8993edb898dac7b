"""`random-tiny`: a 2-layer BERT of width 32 with fixed random weights, for tests and trials.

Its folder is written once to the cache. It has the files of a published encoder and is loaded in
the same way.
"""

from __future__ import annotations

import json
import os
import string
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl.cache import cache_folder
from mtl.errors import EncoderError
from mtl.files import file_sha256, parse_json, read_regular, write_json

if TYPE_CHECKING:
    from mtl.model.encoder import Encoder

VERSION = 2
DIGESTS = "sha256.json"
"""The file with the sha256 of the others."""
WORDS = """
the a an is are was not no and or but of to in on at for with from how what why when which who
can do does i you he she it they we this that very too good bad best worst man woman dog cat
book film story one two three
""".split()


def random_tiny() -> Path:
    """The encoder's folder, written on first use; several processes may do so at once.

    A folder in which a byte has changed is written again. Raises EncoderError where the cache
    cannot be written.
    """
    folder = cache_folder() / "encoders" / f"random-tiny-{VERSION}"
    if _is_whole(folder):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            complete = Path(scratch) / "complete"
            write_random(complete, seed=0)
            write_json(complete / DIGESTS, _digests(complete))
            if folder.exists() and not _is_whole(folder):
                os.rename(folder, Path(scratch) / "damaged")
            os.rename(complete, folder)
    except OSError as error:
        if not _is_whole(folder):  # else another process was faster
            raise EncoderError(
                f"encoder random-tiny: {folder.parent}: cannot be written: {error.strerror}. "
                "Set MTL_CACHE to a folder of your own."
            ) from None
    return folder


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: file_sha256(path) for path in folder.iterdir() if path.name != DIGESTS}


def _is_whole(folder: Path) -> bool:
    try:
        return bool(parse_json(read_regular(folder / DIGESTS, 10**5)) == _digests(folder))
    except (OSError, ValueError):
        return False


def write_random(folder: Path, *, seed: int, **sizes: Any) -> None:
    """Write a random encoder with a small vocabulary; `sizes` override keys of `config.json`."""
    import torch
    from safetensors.torch import save_file
    from torch import nn

    from mtl.model.encoder import Encoder
    from mtl.model.encoder_config import EncoderConfig
    from mtl.model.weights import to_published

    letters = string.ascii_lowercase + string.digits
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.punctuation, *letters]
    vocabulary += [f"##{letter}" for letter in letters]
    vocabulary += [word for word in WORDS if word not in vocabulary]
    settings = {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "vocab_size": len(vocabulary),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
        "initializer_range": 0.1,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
        **sizes,
    }
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(settings, indent=1), "utf-8")
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", "utf-8")
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}', "utf-8")
    encoder: Encoder = Encoder(EncoderConfig.from_settings(settings))
    generator = torch.Generator().manual_seed(seed)
    for module in encoder.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=settings["initializer_range"], generator=generator)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
    save_file(to_published(encoder.state_dict(), encoder.config), folder / "model.safetensors")
