"""Published BERT weights under our parameter names, and back; a check of a file's header."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl.errors import EncoderError
from mtl.model.encoder_config import EncoderConfig

if TYPE_CHECKING:
    from torch import Tensor

POOLER = "pooler.dense"
FLOATS = ("F16", "BF16", "F32", "F64")
_EMBEDDINGS = {
    "words.weight": "embeddings.word_embeddings.weight",
    "positions.weight": "embeddings.position_embeddings.weight",
    "types.weight": "embeddings.token_type_embeddings.weight",
    "embedding_norm": "embeddings.LayerNorm",
    "pooler": POOLER,
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
    """Published tensors under our names, in float32. The pooler may be missing: then it is zero.

    Accepts older spellings: a prefix `bert.`, and gamma and beta for norms. `check_tensors` says
    whether all others are there.
    """
    import torch

    renamed = {published_name(name): tensor.float() for name, tensor in tensors.items()}
    if f"{POOLER}.weight" not in renamed:
        width = renamed["embeddings.LayerNorm.weight"].shape[0]
        renamed |= {
            f"{POOLER}.weight": torch.zeros(width, width),
            f"{POOLER}.bias": torch.zeros(width),
        }
    state = {ours: renamed[theirs] for ours, theirs in _pairs(layers).items()}
    for layer in range(layers):
        for part in ("weight", "bias"):
            names = [
                f"encoder.layer.{layer}.attention.self.{kind}.{part}"
                for kind in ("query", "key", "value")
            ]
            state[f"layers.{layer}.qkv.{part}"] = torch.cat([renamed[name] for name in names])
    return state


def published_name(name: str) -> str:
    """A tensor's name in today's spelling."""
    name = name.removeprefix("bert.").replace("LayerNorm.gamma", "LayerNorm.weight")
    return name.replace("LayerNorm.beta", "LayerNorm.bias")


def has_pooler(path: Path) -> bool:
    """Whether a file of weights has a pooler."""
    with _header(path) as file:
        return f"{POOLER}.weight" in map(published_name, file.keys())


def check_tensors(path: Path, config: EncoderConfig) -> None:
    """Check a file's header against the sizes, without reading a tensor.

    Raises EncoderError for a file that is damaged, and for a tensor that is missing, misshapen or
    of whole numbers.
    """
    with _header(path) as file:
        names = {published_name(name): name for name in file.keys()}  # noqa: SIM118
        if len(names) < len(list(file.keys())):
            raise EncoderError(f"{path}: some tensors are there with and without the prefix bert.")
        for name, shape in _shapes(config).items():
            if name not in names:
                if name.startswith(POOLER):
                    continue
                raise EncoderError(f"{path}: the tensor {name} is missing{_hint(name, names)}.")
            part = file.get_slice(names[name])
            if tuple(part.get_shape()) != shape or part.get_dtype() not in FLOATS:
                raise EncoderError(
                    f"{path}: the tensor {names[name]} is {part.get_dtype()} "
                    f"{list(part.get_shape())}; config.json beside it says floating-point numbers "
                    f"{list(shape)}."
                )


@contextmanager
def _header(path: Path) -> Iterator[Any]:
    """An open file of weights. Raises EncoderError where it is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        # Without torch: naming a run is quick.
        file = safe_open(path, framework="numpy")
    except (OSError, SafetensorError) as error:
        with path.open("rb") as raw:
            pointer = raw.read(40).startswith(b"version https://git-lfs")
        reason = "it is a pointer of git-lfs; run `git lfs pull`" if pointer else str(error)
        raise EncoderError(f"{path}: not a file of weights: {reason}.") from None
    with file as opened:
        yield opened


def _hint(name: str, names: dict[str, str]) -> str:
    """The prefix that the file's names have, if that is all that is wrong."""
    for other in names:
        if other.endswith(f".{name}"):
            prefix = other.removesuffix(name)
            return f"; the file has {other}: take the prefix {prefix} off all names"
    return ""


def _shapes(config: EncoderConfig) -> dict[str, tuple[int, ...]]:
    """Every published tensor and its shape."""
    width, inner = config.width, config.inner
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config.vocabulary, width),
        "embeddings.position_embeddings.weight": (config.positions, width),
        "embeddings.token_type_embeddings.weight": (config.types, width),
        **_vectors("embeddings.LayerNorm", width),
        **_linear(POOLER, width, width),
    }
    for layer in range(config.layers):
        block = f"encoder.layer.{layer}."
        for kind in ("query", "key", "value"):
            shapes |= _linear(f"{block}attention.self.{kind}", width, width)
        shapes |= _linear(f"{block}attention.output.dense", width, width)
        shapes |= _vectors(f"{block}attention.output.LayerNorm", width)
        shapes |= _linear(f"{block}intermediate.dense", inner, width)
        shapes |= _linear(f"{block}output.dense", width, inner)
        shapes |= _vectors(f"{block}output.LayerNorm", width)
    return shapes


def _linear(name: str, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _vectors(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


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
