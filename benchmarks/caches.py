"""Caches of a benchmark's own, so that what one measurement keeps is not there for the next."""

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
    """Let caches be in a folder for a while."""
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
    """Let hidden states be kept in a new cache below `scratch` for a while; tokens are copied into it."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    if (cache_folder() / "tokens").is_dir():
        shutil.copytree(cache_folder() / "tokens", folder / "tokens")
    with cache_in(folder):
        yield
