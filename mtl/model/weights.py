"""Published weights under our parameter names, and back; a check of a file's header.

A folder has `model.safetensors`, or `model.safetensors.index.json` that names the files of its
parts. A checkpoint of a whole model has a prefix before its names, and names of heads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl.errors import EncoderError, short
from mtl.files import parse_json, read_regular
from mtl.model.encoder_config import EncoderConfig
from mtl.model.families import BERT, FAMILIES, Family

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
POOLER, PROJECT = "pooler.dense", "embeddings_project"
RELATIVE = "encoder.relative_attention_bias.weight"
FLOATS = ("F16", "BF16", "F32", "F64")
MAX_INDEX = 1 << 24
_PARTS = ("weight", "bias")


def weight_files(folder: Path) -> list[Path]:
    """The files of an encoder's weights, in order; none where there are none.

    Raises EncoderError for an index that is damaged, or that names a file elsewhere.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    path = folder / INDEX
    if not path.is_file():
        return []
    try:
        names = parse_json(read_regular(path, MAX_INDEX))["weight_map"].values()
        files = [folder / name for name in sorted(set(names))]
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise EncoderError(f"{path}: not an index of weights: {error}.") from None
    for file in files:
        if file.parent != folder:
            raise EncoderError(f"{path}: {short(file.name)} is not a file beside it.")
        if not file.is_file():
            raise EncoderError(f"{file}: missing; {INDEX} names it. Is the copy complete?")
    return files


def _blocks(config: EncoderConfig) -> dict[str, str]:
    """Our module or parameter -> the published one, for those that map one to one."""
    family = FAMILIES[config.family]
    blocks = dict(family.embeddings)
    if config.embedding:
        blocks["project"] = PROJECT
    if config.buckets:
        blocks["relative.weight"] = RELATIVE
    if family.pooler:
        blocks["pooler"] = POOLER
    for layer in range(config.layers):
        blocks |= {
            f"layers.{layer}.{ours}": f"{family.at}.{layer}.{theirs}"
            for ours, theirs in family.layer.items()
        }
    return blocks


def _pairs(config: EncoderConfig) -> dict[str, str]:
    """Our parameter -> the published one, for those that map one to one."""
    pairs = {}
    for ours, theirs in _blocks(config).items():
        if ours.endswith(".weight"):
            pairs[ours] = theirs
        else:
            pairs |= {f"{ours}.{part}": f"{theirs}.{part}" for part in _PARTS}
    return pairs


def _products(config: EncoderConfig, layer: int, part: str) -> list[str]:
    """The published names of a layer's queries, keys and values."""
    family = FAMILIES[config.family]
    return [f"{family.at}.{layer}.{name}.{part}" for name in family.qkv]


def from_published(tensors: Mapping[str, Tensor], config: EncoderConfig) -> dict[str, Tensor]:
    """Published tensors under our names, in float32. A pooler that is missing stays missing.

    `check_tensors` says whether all others are there.
    """
    import torch

    family = FAMILIES[config.family]
    renamed = {published_name(name, family): tensor.float() for name, tensor in tensors.items()}
    state = {
        ours: renamed[theirs]
        for ours, theirs in _pairs(config).items()
        if theirs in renamed or not theirs.startswith(POOLER)
    }
    for layer in range(config.layers):
        for part in _PARTS:
            parts = [renamed[name] for name in _products(config, layer, part)]
            state[f"layers.{layer}.qkv.{part}"] = torch.cat(parts)
    return state


def published_name(name: str, family: Family = BERT) -> str:
    """A tensor's name in today's spelling, without the prefix of a whole model."""
    name = name.removeprefix(family.prefix).replace("LayerNorm.gamma", "LayerNorm.weight")
    return name.replace("LayerNorm.beta", "LayerNorm.bias")


def has_pooler(folder: Path, family: Family) -> bool:
    """Whether the weights have a pooler."""
    with _headers(weight_files(folder)) as files:
        names = [name for file in files for name in file.keys()]  # noqa: SIM118
    return f"{POOLER}.weight" in [published_name(name, family) for name in names]


def check_tensors(folder: Path, config: EncoderConfig) -> None:
    """Check the headers against the sizes, without reading a tensor.

    Raises EncoderError for a file that is damaged, and for a tensor that is missing, misshapen or
    of whole numbers.
    """
    family, paths = FAMILIES[config.family], weight_files(folder)
    names: dict[str, tuple[Path, str, Any]] = {}
    with _headers(paths) as files:
        for path, file in zip(paths, files, strict=True):
            for name in file.keys():  # noqa: SIM118
                known = published_name(name, family)
                if known in names:
                    raise EncoderError(
                        f"{path}: the tensors {names[known][1]} and {name} are one and the same. "
                        "Keep one of them."
                    )
                names[known] = path, name, file
        for name, shape in _shapes(config).items():
            if name not in names:
                if name.startswith(POOLER) and not any(other.startswith(POOLER) for other in names):
                    continue
                hint = _hint(name, names)
                raise EncoderError(f"{paths[0]}: the tensor {name} is missing{hint}.")
            path, written, file = names[name]
            part = file.get_slice(written)
            if tuple(part.get_shape()) != shape or part.get_dtype() not in FLOATS:
                raise EncoderError(
                    f"{path}: the tensor {written} is {part.get_dtype()} "
                    f"{list(part.get_shape())}; config.json beside it says floating-point numbers "
                    f"{list(shape)}."
                )


@contextmanager
def _headers(paths: list[Path]) -> Iterator[list[Any]]:
    """Open files of weights. Raises EncoderError where one is damaged."""
    from safetensors import SafetensorError, safe_open

    with ExitStack() as stack:
        files = []
        for path in paths:
            try:
                # Without torch: naming a run is quick.
                files.append(stack.enter_context(safe_open(path, framework="numpy")))
            except (OSError, SafetensorError) as error:
                with path.open("rb") as raw:
                    pointer = raw.read(40).startswith(b"version https://git-lfs")
                reason = "it is a pointer of git-lfs; run `git lfs pull`" if pointer else str(error)
                raise EncoderError(f"{path}: not a file of weights: {reason}.") from None
        yield files


def _hint(name: str, names: Mapping[str, object]) -> str:
    """The prefix that the file's names have, if that is all that is wrong."""
    for other in names:
        if other.endswith(f".{name}"):
            prefix = other.removesuffix(name)
            return f"; the file has {other}: take the prefix {prefix} off all names"
    return ""


def _shapes(config: EncoderConfig) -> dict[str, tuple[int, ...]]:
    """Every published tensor and its shape."""
    width, inner = config.width, config.inner
    narrow = config.embedding or width
    weights = {
        "words": (config.vocabulary, narrow),
        "positions": (config.positions, narrow),
        "types": (config.types, narrow),
        "embedding_norm": (narrow,),
        "project": (width, narrow),
        "relative": (config.buckets, config.attention_heads),
        "pooler": (width, width),
        "attention_out": (width, width),
        "inner": (inner, width),
        "outer": (width, inner),
    }
    shapes: dict[str, tuple[int, ...]] = {}
    for ours, theirs in _pairs(config).items():
        block, _, part = ours.rpartition(".")
        shape = weights.get(block.rpartition(".")[2], (width,))
        shapes[theirs] = shape if part == "weight" else shape[:1]
    for layer in range(config.layers):
        for part, shape in (("weight", (width, width)), ("bias", (width,))):
            shapes |= dict.fromkeys(_products(config, layer, part), shape)
    return shapes


def to_published(state: Mapping[str, Tensor], config: EncoderConfig) -> dict[str, Tensor]:
    """Our tensors under their published names: the inverse of `from_published`."""
    published = {theirs: state[ours] for ours, theirs in _pairs(config).items()}
    for layer in range(config.layers):
        for part in _PARTS:
            chunks = state[f"layers.{layer}.qkv.{part}"].chunk(3)
            for name, tensor in zip(_products(config, layer, part), chunks, strict=True):
                published[name] = tensor.contiguous()
    return published
