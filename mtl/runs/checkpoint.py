"""Tensors on disk, each file with its sha256: a flipped bit would otherwise load as silently wrong weights.

A checkpoint is `<name>.safetensors` and `<name>.json`. The JSON holds the sha256 and what else the writer wants to keep,
and is written last: without it, or with a file that does not match it, there is no checkpoint.
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


def save(folder: Path, name: str, tensors: Mapping[str, Tensor], **notes: Any) -> None:
    """Write tensors and notes. The file's name carries its content's hash, so the old pair stays whole until the end."""
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
    """What `save` was given besides tensors, or None where there is no checkpoint."""
    try:
        found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RunError(f"{folder / name}.json: cannot be read: {error}.") from None
    if not isinstance(found, dict) or not {"file", "sha256"} <= found.keys():
        raise RunError(
            f"{folder / name}.json: damaged. Train the run again (mtl train ... --fresh)."
        )
    return found


def check(folder: Path, name: str) -> tuple[Path, dict[str, Any]]:
    """The file of a checkpoint and its notes. Raises RunError where it is missing or not what was written."""
    found = notes(folder, name)
    if found is None:
        raise RunError(
            f"{folder}: no checkpoint {name!r} here. Train the run again (mtl train ... --fresh)."
        )
    path = folder / str(found["file"])
    if not path.is_file():
        raise RunError(f"{path}: missing; train the run again (mtl train ... --fresh).")
    if file_sha256(path) != found["sha256"]:
        raise RunError(
            f"{path}: damaged: its sha256 is not the one recorded. Train the run again (mtl train ... --fresh)."
        )
    return path, found


def load(folder: Path, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and notes. Raises RunError as `check` does."""
    from safetensors.torch import load_file

    path, found = check(folder, name)
    return load_file(path), found


def check_selected(run: RunFolder, best_step: int | None) -> None:
    """The checkpoint must be of the step that the record names. Raises RunError."""
    _, found = check(run.checkpoint, "model")
    if found.get("step") != best_step:
        raise RunError(
            f"{run.checkpoint}: holds step {found.get('step')}, the run selected step {best_step}. "
            "Train the run again (mtl train ... --fresh)."
        )
