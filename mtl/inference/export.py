"""Exports a run's encoder as a folder that `transformers` and `sentence-transformers` load.

    config.json, model.safetensors, tokenizer files    a model of the encoder's family
    modules.json, 1_Pooling/, 2_Dense/                 the run's pooling for sentence-transformers
    heads.safetensors, mtl.json                        the heads and the run's config, for mtl only

The pooler's tanh(W h_CLS + b) becomes [CLS] pooling with a dense layer after it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mtl.config.schema import RunConfig
from mtl.errors import ConfigError
from mtl.files import write_bytes, write_json
from mtl.inference.trained import Trained
from mtl.model.fallback.pretrained import FallbackPretrained
from mtl.model.pretrained import Pretrained
from mtl.model.tokenizer import SETTINGS, TOKENIZER
from mtl.model.weights import to_published

if TYPE_CHECKING:
    from torch import Tensor, nn

ACTIVATIONS = ("hidden_act", "activation")
"""Keys of `config.json` that are written as the family computes."""
KEPT_SETTINGS = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "initializer_range",
    "pad_token_id",
)
"""Keys of the source's `config.json` that stay: whoever trains further may want them."""
POOLING_MODES = {
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "max": "pooling_mode_max_tokens",
}
"""The keys of sentence-transformers' pooling."""


def export(trained: Trained, folder: Path) -> None:
    """Write the folder in one piece: after an error or a kill there is none.

    Raises ConfigError where the folder is not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder}: not an empty folder; nothing is overwritten. Name a new one.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name[:40]}.") as scratch:
        complete = Path(scratch) / "complete"
        complete.mkdir()
        _write(trained, complete)
        os.rename(complete, folder)


def _write(trained: Trained, folder: Path) -> None:
    from mtl.model.lora import merged_state

    config, model, pretrained = trained.folder.config(), trained.evaluator.model, trained.pretrained
    state = {name: tensor.cpu() for name, tensor in merged_state(model.encoder).items()}
    if isinstance(pretrained, FallbackPretrained):
        _write_model(folder, state, pretrained)
    else:
        _write_encoder(folder, state, pretrained)
    _write_tokenizer(folder, trained, config.max_length)
    _write_tensors(folder / "heads.safetensors", _tensors(model.heads))
    record = trained.record
    about = {"run_id": record.run_id, "metrics": record.metrics, "config": record.config}
    write_json(folder / "mtl.json", about)
    _write_modules(folder, state, pretrained, config)


def _write_model(folder: Path, state: dict[str, Tensor], pretrained: FallbackPretrained) -> None:
    """The weights of a model of `transformers`, and its own `config.json`."""
    write_json(folder / "config.json", pretrained.settings | {"dtype": "float32"})
    tensors = {name.removeprefix("model."): tensor for name, tensor in state.items()}
    _write_tensors(folder / "model.safetensors", tensors)


def _write_encoder(folder: Path, state: dict[str, Tensor], pretrained: Pretrained) -> None:
    """The weights, and a `config.json` of what was computed.

    Keys of the source's that say more, such as a data type or a decoder, would change the vectors.
    """
    config, settings, family = (
        pretrained.encoder_config, pretrained.settings, pretrained.family
    )  # fmt: skip
    own: dict[str, Any] = {key: getattr(config, name) for name, (key, _) in family.sizes.items()}
    own |= {key: value for key, value in family.settings.items() if key in ACTIVATIONS}
    if family.epsilon:
        own[family.epsilon] = config.norm_epsilon
    if family.project:
        own["embedding_size"] = config.embedding or config.width
    if config.offset:
        own["pad_token_id"] = config.offset - 1
    kept = {key: settings[key] for key in KEPT_SETTINGS if key in settings}
    about = {"architectures": [family.model], "model_type": family.name, "dtype": "float32"}
    write_json(folder / "config.json", about | kept | own)
    _write_tensors(folder / "model.safetensors", to_published(state, config))


def _write_tokenizer(folder: Path, trained: Trained, max_length: int) -> None:
    """The run's own tokenizer, set to cut where the run did."""
    from tokenizers import Tokenizer, processors

    own = Tokenizer.from_str(trained.tokenizer.to_str())
    layout, second = trained.pretrained.layout, int(trained.pretrained.layout.typed)

    def places(ids: tuple[int, ...], kind: int) -> list[str]:
        return [f"{own.id_to_token(number)}:{kind}" for number in ids]

    before, after = places(layout.before, 0), places(layout.after, 0)
    between, end = places(layout.between, 0), places(layout.after, second)
    own.post_processor = processors.TemplateProcessing(
        single=[*before, "$A:0", *after],
        pair=[*before, "$A:0", *between, f"$B:{second}", *end],
        special_tokens=[
            (own.id_to_token(number), number)
            for number in dict.fromkeys((*layout.before, *layout.between, *layout.after))
        ],
    )
    write_bytes(folder / TOKENIZER, own.to_str(pretty=True).encode())
    typed = ["token_type_ids"] if trained.pretrained.encoder_config.types else []
    write_json(
        folder / SETTINGS,
        {
            # The general class takes tokenizer.json as it is.
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": max_length,
            "model_input_names": ["input_ids", *typed, "attention_mask"],
            "split_special_tokens": trained.tokenizer.encode_special_tokens,
            **trained.pretrained.special_tokens,
        },
    )


def _write_modules(
    folder: Path, state: Mapping[str, Tensor], pretrained: Pretrained, config: RunConfig
) -> None:
    """The description of the run's pooling for sentence-transformers."""
    pooling = "cls" if config.pooling == "pooler" else config.pooling
    width = pretrained.encoder_config.width
    modes = {mode: name == pooling for name, mode in POOLING_MODES.items()}
    (folder / "1_Pooling").mkdir()
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": width} | modes)
    modules = [_module(0, "", "Transformer"), _module(1, "1_Pooling", "Pooling")]
    if config.pooling == "pooler":
        _write_dense(folder / "2_Dense", state, width)
        modules.append(_module(2, "2_Dense", "Dense"))
    write_json(
        folder / "sentence_bert_config.json",
        {"max_seq_length": config.max_length, "do_lower_case": False},
    )
    write_json(folder / "modules.json", modules)


def _write_dense(folder: Path, state: Mapping[str, Tensor], width: int) -> None:
    """The pooler as sentence-transformers' dense layer."""
    folder.mkdir()
    write_json(
        folder / "config.json",
        {
            "in_features": width,
            "out_features": width,
            "bias": True,
            "activation_function": "torch.nn.modules.activation.Tanh",
        },
    )
    linear = {f"linear.{part}": state[f"pooler.{part}"] for part in ("weight", "bias")}
    _write_tensors(folder / "model.safetensors", linear)


def _module(number: int, path: str, kind: str) -> dict[str, Any]:
    module = f"sentence_transformers.models.{kind}"
    return {"idx": number, "name": str(number), "path": path, "type": module}


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu() for name, tensor in module.state_dict().items()}


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    from safetensors.torch import save

    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(contiguous, {"format": "pt"}))  # transformers needs this note
