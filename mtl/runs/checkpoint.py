"""Checkpoints: tensors on disk with their sha256, so that a flipped bit is an error.

A checkpoint is `<name>-<hash>.safetensors` and `<name>.json`. The JSON holds the file's name, its
sha256 and the writer's notes. It is written last: the old checkpoint stays valid until then.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from mtl.errors import RunError
from mtl.files import file_sha256, write_bytes, write_json
from mtl.runs.folder import RunFolder

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
    write_json(folder / f"{name}.json", {**notes, "file": path.name, "sha256": digest})
    for old in folder.glob(f"{name}-*.safetensors"):
        if old != path:
            old.unlink()


def notes(folder: Path, name: str) -> dict[str, Any] | None:
    """The notes of a checkpoint, or None without one. Raises RunError for a damaged file."""
    try:
        stored: dict[str, Any] = json.loads((folder / f"{name}.json").read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RunError(f"{folder / name}.json: cannot be read: {error}.") from None
    if not isinstance(stored, dict) or not {"file", "sha256"} <= stored.keys():
        raise RunError(f"{folder / name}.json: damaged. {REMEDY}")
    return stored


def check(folder: Path, name: str) -> tuple[Path, dict[str, Any]]:
    """The file and the notes of a checkpoint. Raises RunError where it is missing or damaged."""
    stored = notes(folder, name)
    if stored is None:
        raise RunError(f"{folder}: no checkpoint {name!r}. {REMEDY}")
    path = folder / str(stored["file"])
    if not path.is_file():
        raise RunError(f"{path}: missing. {REMEDY}")
    if file_sha256(path) != stored["sha256"]:
        raise RunError(f"{path}: damaged: its sha256 differs from the recorded one. {REMEDY}")
    return path, stored


def load(folder: Path, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the notes of a checkpoint. Raises RunError where it is missing or damaged."""
    from safetensors.torch import load_file

    path, stored = check(folder, name)
    return load_file(path), stored


def check_selected(run: RunFolder, best_step: int | None) -> None:
    """Check that the checkpoint is of the selected step. Raises RunError."""
    _, stored = check(run.checkpoint, "model")
    if stored.get("step") != best_step:
        raise RunError(
            f"{run.checkpoint}: holds step {stored.get('step')}; the run selected step "
            f"{best_step}. {REMEDY}"
        )
