"""The store of frozen states survives several writers, kills, damaged segments and a full disk."""

from __future__ import annotations

import errno
import inspect
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mtl.model.frozen import store as store_module
from mtl.model.frozen.cache import sequence_key
from mtl.model.frozen.layers import FrozenLayers
from mtl.model.frozen.store import StateStore
from mtl.model.packing import pack
from mtl.training.loop import train
from mtl.training.progress import Progress
from tests.frozen_tools import (
    GB,
    a_cache,
    blocks,
    cache,
    frozen,
    results,
    segments,
    sequences,
    small_segments,
)

__all__ = ["blocks", "cache", "small_segments"]


# --- several writers, kills, damage, no room


BUILD = """
import sys
from pathlib import Path
import numpy as np
import torch
from mtl.model.frozen import cache
from mtl.model.frozen.cache import StoredFrozenCache
from mtl.model.frozen.layers import FrozenLayers
from mtl.model.frozen.store import StateStore
from mtl.model.find import find_encoder

{sequences}

cache.SEGMENT_BYTES = (1 << 10, 1 << 17)
blocks = FrozenLayers(find_encoder("random-tiny").load(), 1, torch.device("cpu"))
compute, done = blocks.compute, []
def counted(ids, types):
    done.append(len(ids))
    return compute(ids, types)
blocks.compute = counted
built = StoredFrozenCache(blocks, StateStore(Path(sys.argv[1]), "numbers", blocks.width, 10**9))
print("ready", flush=True)
sys.stdin.readline()
built.fill(*sequences({count}, lengths=(3, 60)))
print(sum(done), built.complete, flush=True)
"""
COUNT = 1500


def builder(cache: Path) -> subprocess.Popen[str]:
    """A process that will build a store of `COUNT` sequences once it is told to."""
    script = BUILD.format(sequences=inspect.getsource(sequences), count=COUNT)
    command = [sys.executable, "-c", script, str(cache)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("\n")
    process.stdin.flush()


def said(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    words = process.stdout.read().split()
    assert process.wait() == 0
    return words


def assert_right(cache: Path, blocks: FrozenLayers) -> None:
    """All sequences are stored, with the numbers that they have when computed here."""
    ids, types = sequences(COUNT, lengths=(3, 60))
    store = StateStore(cache, "numbers", blocks.width, GB)
    keys = [sequence_key(*one) for one in zip(ids, types, strict=True)]
    store.open(set(keys))
    for i in range(0, COUNT, 97):
        (expected,) = blocks.compute(ids[i : i + 1], types[i : i + 1])
        into = np.empty_like(expected)
        assert store.read(keys[i], into)
        assert np.array_equal(into, expected)
    assert all(
        store.read(key, np.empty((len(one), 32), np.float32))
        for key, one in zip(keys, ids, strict=True)
    )


def test_a_writer_that_ends_leaves_the_file_of_the_next_one(cache: Path) -> None:
    """Once the first file is in place, the next one may have its temporary name."""
    store = StateStore(cache, "numbers", 32, GB)
    store.open(set())
    key, states = bytes(16), [np.ones((3, 32), np.float32)]
    first = store.reserve([key], 3)
    assert isinstance(first, store_module.Slot)
    with first:
        first.write([key], states)
        second = store.reserve([key], 3, even_if_busy=True)
        assert isinstance(second, store_module.Slot) and second.temporary == first.temporary
    with second:
        second.write([key], states)
    store.open({key})
    assert key in store


def test_two_processes_that_build_at_once_share_the_work(cache: Path, blocks: FrozenLayers) -> None:
    both = [builder(cache), builder(cache)]
    for process in both:
        go(process)
    counts = [said(process) for process in both]
    computed = [int(words[0]) for words in counts]
    assert [words[1] for words in counts] == ["True", "True"]
    assert COUNT <= sum(computed) < 2 * COUNT
    assert not list(cache.glob("*/*.tmp"))
    assert_right(cache, blocks)


def test_a_builder_killed_at_any_moment_leaves_only_whole_segments(
    cache: Path, blocks: FrozenLayers
) -> None:
    killed = 0
    builders = [builder(cache) for _ in range(3)]
    for process, delay in zip(builders, (0.0, 0.05), strict=False):
        before = len(segments(cache))
        go(process)
        while (
            process.poll() is None
            and len(segments(cache)) == before
            and not list(cache.glob("*/*.tmp"))
        ):
            time.sleep(0.001)
        time.sleep(delay)
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        store = StateStore(cache, "numbers", blocks.width, GB)
        whole = len(segments(cache))
        store.open(
            {sequence_key(*one) for one in zip(*sequences(COUNT, lengths=(3, 60)), strict=True)}
        )
        assert len(segments(cache)) == whole  # none was damaged
    assert killed >= 1
    go(builders[-1])
    assert said(builders[-1])[1] == "True"
    assert not list(cache.glob("*/*.tmp"))
    assert_right(cache, blocks)


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


DAMAGE: dict[str, Any] = {
    "a flipped bit in the states": lambda content: flipped(content, len(content) - 7),
    "a flipped bit in the index": lambda content: flipped(content, 70),
    "a flipped bit in the header": lambda content: flipped(content, 20),
    "cut short": lambda content: content[: len(content) // 2],
    "zeros after a power cut": lambda content: bytes(len(content)),
    "empty": lambda content: b"",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_segment_is_noticed_and_built_again(
    cache: Path, blocks: FrozenLayers, damage: Any
) -> None:
    ids, types = sequences(40)
    a_cache(cache, blocks).fill(ids, types)
    expected = a_cache(cache, blocks, limit=0).lookup(ids, types)
    (path,) = segments(cache)
    content = path.read_bytes()
    path.write_bytes(damage(content))
    reader = a_cache(cache, blocks)
    reader.fill(ids, types)
    assert torch.equal(reader.lookup(ids, types), expected)
    again = a_cache(cache, blocks)
    again.fill(ids, types)
    assert torch.equal(again.lookup(ids, types), expected)
    assert path.read_bytes() == content


def test_what_was_built_is_what_is_read(
    cache: Path, blocks: FrozenLayers, small_segments: None
) -> None:
    ids, types = sequences(200)
    a_cache(cache, blocks).fill(ids, types)
    assert len(segments(cache)) > 4
    reader = a_cache(cache, blocks)
    reader.fill(ids, types)
    assert reader.complete
    chosen = [7, 7, 150, 3]
    batch = pack([ids[i] for i in chosen], [types[i] for i in chosen])
    states = reader.lookup([ids[i] for i in chosen], [types[i] for i in chosen])
    assert states.shape == (batch.tokens, 32)
    with torch.no_grad():
        slow = blocks.encoder.run(blocks.encoder.embed(batch), batch, stop=1)
    assert torch.allclose(states, slow, atol=1e-5)


NO_ROOM = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    "when", ["writing", "the folder is a file", "read-only", "the disk is nearly full", "locks"]
)
def test_a_cache_that_cannot_be_written_costs_time_but_not_the_run(
    tiny: dict[str, Any], tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    chosen = frozen(tiny)
    train(chosen, runs=tmp_path / "off", cache_bytes=0)

    def refuse(self: Any, *_: Any) -> None:
        if when == "writing":
            self.file.write(bytes(100))
        raise NO_ROOM

    if when == "writing":
        monkeypatch.setattr(store_module.Slot, "write", refuse)
    elif when == "the folder is a file":
        cache.write_text("in the way")
    elif when == "read-only":
        monkeypatch.setattr(Path, "mkdir", _mkdir_but_not_in(cache))
    elif when == "the disk is nearly full":
        monkeypatch.setattr(store_module, "SPARE_BYTES", 10**18)
    else:
        monkeypatch.setattr(StateStore, "_exclusive", refuse)
    notes: list[str] = []

    class Told(Progress):
        def note(self, text: str) -> None:
            notes.append(text)

    assert train(chosen, runs=tmp_path / "run", progress=Told()).status == "done"
    assert any("every use" in note for note in notes)
    assert not list(cache.glob("*/*")) if cache.is_dir() else True
    assert results(tmp_path / "run") == results(tmp_path / "off")


def _mkdir_but_not_in(cache: Path) -> Any:
    real = Path.mkdir

    def mkdir(self: Path, *args: Any, **options: Any) -> None:
        if cache in (self, *self.parents):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))
        real(self, *args, **options)

    return mkdir
