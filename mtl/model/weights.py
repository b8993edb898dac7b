"""Published BERT weights under our parameter names, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_EMBEDDINGS = {
    "words.weight": "embeddings.word_embeddings.weight",
    "positions.weight": "embeddings.position_embeddings.weight",
    "types.weight": "embeddings.token_type_embeddings.weight",
    "embedding_norm": "embeddings.LayerNorm",
    "pooler": "pooler.dense",
}
_LAYER = {
    "attention_out": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "inner": "intermediate.dense",
    "outer": "output.dense",
    "outer_norm": "output.LayerNorm",
}


def _pairs(layers: int) -> dict[str, str]:
    """Our parameter name -> the published one, for those that map one to one."""
    pairs = {}
    blocks = dict(_EMBEDDINGS)
    for layer in range(layers):
        blocks |= {
            f"layers.{layer}.{ours}": f"encoder.layer.{layer}.{theirs}"
            for ours, theirs in _LAYER.items()
        }
    for ours, theirs in blocks.items():
        if ours.endswith(".weight"):
            pairs[ours] = theirs
        else:
            pairs |= {f"{ours}.{part}": f"{theirs}.{part}" for part in ("weight", "bias")}
    return pairs


def from_published(tensors: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Published tensors under our names, in float32.

    Accepts older spellings: a prefix `bert.`, and gamma and beta for norms. Raises KeyError naming
    a tensor that is missing.
    """
    import torch

    renamed = {}
    for name, tensor in tensors.items():
        name = name.removeprefix("bert.").replace("LayerNorm.gamma", "LayerNorm.weight")
        renamed[name.replace("LayerNorm.beta", "LayerNorm.bias")] = tensor.float()
    state = {ours: renamed[theirs] for ours, theirs in _pairs(layers).items()}
    for layer in range(layers):
        for part in ("weight", "bias"):
            names = [
                f"encoder.layer.{layer}.attention.self.{kind}.{part}"
                for kind in ("query", "key", "value")
            ]
            state[f"layers.{layer}.qkv.{part}"] = torch.cat([renamed[name] for name in names])
    return state


def to_published(state: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Our tensors under their published names: the inverse of `from_published`."""
    published = {theirs: state[ours] for ours, theirs in _pairs(layers).items()}
    for layer in range(layers):
        for part in ("weight", "bias"):
            chunks = state[f"layers.{layer}.qkv.{part}"].chunk(3)
            for kind, tensor in zip(("query", "key", "value"), chunks, strict=True):
                name = f"encoder.layer.{layer}.attention.self.{kind}.{part}"
                published[name] = tensor.contiguous()
    return published
