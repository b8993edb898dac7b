"""Separate caches for benchmarks, so that a measurement does not use the cache of another."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtl.cache import cache_folder


@contextmanager
def cache_in(folder: Path) -> Iterator[None]:
    """Use `folder` as the cache folder."""
    before = os.environ.get("MTL_CACHE")
    os.environ["MTL_CACHE"] = str(folder)
    try:
        yield
    finally:
        del os.environ["MTL_CACHE"]
        if before is not None:
            os.environ["MTL_CACHE"] = before


@contextmanager
def fresh_states(scratch: Path) -> Iterator[None]:
    """Use a new cache below `scratch`, with a copy of the cached tokens but no frozen states."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    if (cache_folder() / "tokens").is_dir():
        shutil.copytree(cache_folder() / "tokens", folder / "tokens")
    with cache_in(folder):
        yield
