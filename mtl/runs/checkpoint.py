"""Checkpoints: tensors on disk with their sha256, so that a flipped bit is an error.

A checkpoint is `<name>-<hash>.safetensors` and `<name>.json`. The JSON holds the file's name, its
sha256, the writer's notes and a digest of all these (`mtl.runs.sealed`). It is written last: the
old checkpoint stays valid until then.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from mtl.errors import RunError
from mtl.files import file_sha256, write_bytes
from mtl.runs.folder import RunFolder
from mtl.runs.sealed import read_sealed, write_sealed

REMEDY = "Train the run again: mtl train ... --fresh."


def save(folder: Path, name: str, tensors: Mapping[str, Tensor], **notes: Any) -> None:
    """Write tensors and notes, and remove the previous checkpoint of this name.

    The hash in the file's name keeps the previous pair intact until the new one is in place.
    """
    from safetensors.torch import save as to_bytes

    folder.mkdir(parents=True, exist_ok=True)
    raw = to_bytes({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()})
    digest = hashlib.sha256(raw).hexdigest()
    path = folder / f"{name}-{digest[:12]}.safetensors"
    write_bytes(path, raw)
    write_sealed(folder / f"{name}.json", {**notes, "file": path.name, "sha256": digest})
    for old in folder.glob(f"{name}-*.safetensors"):
        if old != path:
            old.unlink()


def notes(folder: Path, name: str) -> dict[str, Any] | None:
    """The notes of a checkpoint, or None without one. Raises RunError for a damaged file."""
    path = folder / f"{name}.json"
    stored = read_sealed(path, REMEDY)
    if stored is not None:
        file = stored.get("file")
        # A plain name: a checkpoint names no file outside its folder.
        if not isinstance(file, str) or not re.fullmatch(rf"{name}-[0-9a-f]+\.safetensors", file):
            raise RunError(f"{path}: damaged: it names no file of this checkpoint. {REMEDY}")
        if not isinstance(stored.get("sha256"), str):
            raise RunError(f"{path}: damaged: it has no sha256. {REMEDY}")
    return stored


def check(folder: Path, name: str) -> tuple[Path, dict[str, Any]]:
    """The file and the notes of a checkpoint. Raises RunError where it is missing or damaged."""
    stored = notes(folder, name)
    if stored is None:
        raise RunError(f"{folder}: no checkpoint {name!r}. {REMEDY}")
    path = folder / stored["file"]
    try:
        digest = file_sha256(path)
    except FileNotFoundError:
        raise RunError(f"{path}: missing. {REMEDY}") from None
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror}.") from None
    if digest != stored["sha256"]:
        raise RunError(f"{path}: damaged: its sha256 differs from the recorded one. {REMEDY}")
    return path, stored


def load(folder: Path, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the notes of a checkpoint. Raises RunError where it is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path, stored = check(folder, name)
    try:
        return load_file(path), stored
    except SafetensorError as error:
        raise RunError(f"{path}: damaged: {error}. {REMEDY}") from None


def check_selected(run: RunFolder, best_step: int | None) -> None:
    """Check that the checkpoint is of the selected step. Raises RunError."""
    _, stored = check(run.checkpoint, "model")
    if stored.get("step") != best_step:
        raise RunError(
            f"{run.checkpoint}: holds step {stored.get('step')}; the run selected step "
            f"{best_step}. {REMEDY}"
        )
