"""Finding runs: all of a folder, or those that a name means."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from mtl.errors import RunError, suggestion
from mtl.runs.folder import CONFIG, RECORD, RunFolder

_RUN_ID = re.compile(r".+-s\d+")


def run_folders(root: Path, chosen: Callable[[str], bool] | None = None) -> list[RunFolder]:
    """The runs in `root` whose names are chosen, by name.

    A folder with neither a config nor a record is not a run.
    """
    if not root.is_dir():
        return []
    names = sorted(name for name in os.listdir(root) if chosen is None or chosen(name))
    return [RunFolder(root / name) for name in names if is_run(root / name)]


def is_run(path: Path) -> bool:
    """Whether a folder holds a config or a record.

    A folder that may not be entered is a run where it is called like a run.
    """
    for name in (CONFIG, RECORD):
        try:
            os.lstat(f"{path}/{name}")
        except PermissionError:
            return _RUN_ID.fullmatch(path.name) is not None
        except (OSError, ValueError):
            continue
        return True
    return False


def runs_named(root: Path, name: str) -> list[RunFolder]:
    """The runs in `root` that a name means.

    A name is a run id, the beginning of one, or the beginning of a cell and a seed: `3f2a-s1`.
    """
    cell, dash, seed = name.rpartition("-s")
    return (
        run_folders(root, lambda run_id: run_id == name)
        or run_folders(root, lambda run_id: run_id.startswith(name))
        or run_folders(
            root,
            lambda run_id: bool(dash) and run_id.startswith(cell) and run_id.endswith(dash + seed),
        )
    )


def find_run(root: Path, name: str) -> RunFolder:
    """The run that a name means (`runs_named`), or the path of a run's folder.

    Raises RunError where no run or several runs have the name; it says which names are near.
    """
    if is_run(Path(name)):
        return RunFolder(Path(name))
    matches = runs_named(root, name)
    if len(matches) == 1:
        return matches[0]
    if matches:
        listed = ", ".join(folder.run_id for folder in matches[:5])
        raise RunError(
            f"{name!r} is the beginning of {len(matches)} runs: {listed}. "
            f"Give more of the name, or add the seed: {name}-s0."
        )
    folders = run_folders(root)
    if not folders:
        raise RunError(f"no run {name!r}: {root} holds no runs yet. `mtl train` makes one.")
    hint = suggestion(name, [folder.run_id for folder in folders])
    raise RunError(f"no run {name!r} in {root}.{hint} `mtl runs list --runs {root}` lists them.")
