"""Shared by the tests of the frozen cache: runs with frozen layers, stores and sequences."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mtl.config.schema import RunConfig
from mtl.documents.keys import merge
from mtl.model.find import find_encoder
from mtl.model.frozen import cache as cache_module
from mtl.model.frozen import store as store_module
from mtl.model.frozen.cache import StoredFrozenCache
from mtl.model.frozen.layers import FrozenLayers
from mtl.model.frozen.store import StateStore
from mtl.runs.folder import RunFolder
from mtl.runs.prepare import prepare
from mtl.training.interrupt import Interruption
from mtl.training.progress import Progress
from mtl.training.run import Training

CPU = torch.device("cpu")
GB = 10**9


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, with the encoder in it; returns where its store will be."""
    monkeypatch.setenv("MTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(store_module, "SPARE_BYTES", 0)
    return tmp_path / "cache" / "prefix"


def frozen(tiny: dict[str, Any], **changes: Any) -> RunConfig:
    """The tiny run with a frozen layer and changes; `train__lr=1` means `train: {lr: 1}`."""
    settings = merge(tiny, {"freeze": {"unfrozen": 1}, "heads": {"sts": "cosine"}})
    for key, value in changes.items():
        for part in reversed(key.split("__")):
            value = {part: value}
        settings = merge(settings, value)
    return RunConfig.model_validate(settings)


def started(chosen: RunConfig, runs: Path, **options: Any) -> Training:
    """A run set up but not begun."""
    folder = RunFolder(runs / "unused")
    return Training(prepare(chosen), folder, CPU, Interruption(), Progress(), 1e9, **options)


def filled(chosen: RunConfig, runs: Path, **options: Any) -> Training:
    training = started(chosen, runs, **options)
    training.fill_frozen_cache()
    return training


def results(runs: Path) -> dict[str, bytes]:
    """Everything that the only run below a folder leaves and that must not depend on the store."""
    (folder,) = runs.iterdir()
    found = {
        str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.csv"))
    }
    found |= {path.name: path.read_bytes() for path in (folder / "checkpoint").iterdir()}
    return found | {"log": (folder / "metrics.jsonl").read_bytes()}


def segments(cache: Path) -> list[Path]:
    return sorted(cache.glob("*/*.states"))


def sequences(
    count: int, *, seed: int = 0, lengths: tuple[int, int] = (3, 20)
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Random sequences of the tiny encoder's ids; the second half of each is of type 1."""
    draw = np.random.default_rng(seed)
    ids = [draw.integers(5, 100, draw.integers(*lengths)).astype(np.int32) for _ in range(count)]
    return ids, [(np.arange(len(one)) >= len(one) // 2).astype(np.int32) for one in ids]


@pytest.fixture
def blocks() -> FrozenLayers:
    return FrozenLayers(find_encoder("random-tiny").load(), 1, CPU)


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Many segments, where a tiny store would have one."""
    monkeypatch.setattr(cache_module, "SEGMENT_BYTES", (1 << 10, 1 << 12))
    yield


def a_cache(
    cache: Path,
    blocks: FrozenLayers,
    name: str = "numbers",
    limit: int = GB,
    notes: list[str] | None = None,
) -> StoredFrozenCache:
    told = [] if notes is None else notes
    return StoredFrozenCache(blocks, StateStore(cache, name, blocks.width, limit), note=told.append)
