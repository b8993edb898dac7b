"""A run's encoder as a folder that `transformers` and `sentence-transformers` load.

    config.json, model.safetensors, tokenizer files    a BertModel with its pooler
    modules.json, 1_Pooling/, 2_Dense/                  how sentence-transformers makes a vector: the run's own pooling
    heads.safetensors, mtl.json                         the heads, which neither library knows, and the run's config

The pooler's tanh(W h_CLS + b) is sentence-transformers' [CLS] pooling with a dense layer after it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from mtl.errors import ConfigError
from mtl.files import write_bytes, write_json
from mtl.inference.trained import Trained
from mtl.model.weights import to_published

TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
)
MODULES = "sentence_transformers.models"


def export(trained: Trained, folder: Path) -> None:
    """Write the folder; `modules.json` last, so that a half-written one is no model. Raises ConfigError where it is not empty."""
    from safetensors.torch import save

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder}: not an empty folder; nothing is overwritten. Name a new one.")
    (folder / "1_Pooling").mkdir(parents=True)
    config, model, pretrained = trained.folder.config(), trained.evaluator.model, trained.pretrained
    state = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in model.encoder.state_dict().items()
    }
    published = to_published(state, pretrained.encoder_config.layers)
    about = {"format": "pt"}  # transformers refuses a file that does not say so
    settings = pretrained.settings | {"architectures": ["BertModel"], "model_type": "bert"}
    write_json(folder / "config.json", settings)
    write_bytes(
        folder / "model.safetensors", save({k: t.contiguous() for k, t in published.items()}, about)
    )
    for name in TOKENIZER_FILES:
        if (pretrained.folder / name).is_file():
            shutil.copyfile(pretrained.folder / name, folder / name)
    write_tokenizer_settings(folder, config.max_length)
    heads = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in model.heads.state_dict().items()
    }
    write_bytes(folder / "heads.safetensors", save(heads, about))
    run = {"run_id": trained.record.run_id, "metrics": trained.record.metrics}
    write_json(folder / "mtl.json", run | {"config": trained.record.config})

    pooling = "cls" if config.pooling == "pooler" else config.pooling
    modes = {
        "cls": "pooling_mode_cls_token",
        "mean": "pooling_mode_mean_tokens",
        "max": "pooling_mode_max_tokens",
    }
    width = pretrained.encoder_config.width
    write_json(
        folder / "1_Pooling" / "config.json",
        {"word_embedding_dimension": width}
        | {mode: name == pooling for name, mode in modes.items()},
    )
    modules = [_module(0, "", "Transformer"), _module(1, "1_Pooling", "Pooling")]
    if config.pooling == "pooler":
        (folder / "2_Dense").mkdir()
        dense = {"in_features": width, "out_features": width, "bias": True}
        write_json(
            folder / "2_Dense" / "config.json",
            dense | {"activation_function": "torch.nn.modules.activation.Tanh"},
        )
        linear = {f"linear.{part}": state[f"pooler.{part}"] for part in ("weight", "bias")}
        write_bytes(folder / "2_Dense" / "model.safetensors", save(linear, about))
        modules.append(_module(2, "2_Dense", "Dense"))
    write_json(
        folder / "sentence_bert_config.json",
        {"max_seq_length": config.max_length, "do_lower_case": False},
    )
    write_json(folder / "modules.json", modules)


def write_tokenizer_settings(folder: Path, max_length: int) -> None:
    """Have the tokenizer cut where the run did."""
    path = folder / "tokenizer_config.json"
    settings: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    write_json(
        path, settings | {"tokenizer_class": "BertTokenizer", "model_max_length": max_length}
    )


def _module(number: int, path: str, kind: str) -> dict[str, Any]:
    return {"idx": number, "name": str(number), "path": path, "type": f"{MODULES}.{kind}"}
