"""The store of frozen states keeps its limit: least recently read segments are evicted first."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from mtl.cli import main
from mtl.config.schema import RunConfig
from mtl.model.find import find_encoder
from mtl.model.frozen import store as store_module
from mtl.model.frozen.cache import DISABLED, make_frozen_cache
from mtl.model.frozen.layers import FrozenLayers
from mtl.model.frozen.segment import size
from mtl.model.frozen.store import StateStore
from tests.frozen_tools import CPU, GB, a_cache, blocks, cache, segments, sequences, small_segments

__all__ = ["blocks", "cache", "small_segments"]


# --- the limit


def test_what_nobody_uses_and_was_read_longest_ago_makes_room(
    cache: Path, blocks: FrozenLayers
) -> None:
    ids, types = sequences(40)
    needed = size(40, sum(map(len, ids)), 32)
    limit = 2 * needed + needed // 2
    names = ["first", "second", "third"]
    for second, name in enumerate(names[:2]):
        a_cache(cache, blocks, name, limit).fill(ids, types)
        (path,) = (cache / name).glob("*.states")
        os.utime(path, (second, second))
    a_cache(cache, blocks, "first", limit).fill(ids, types)  # read again, so no longer the oldest
    third = a_cache(cache, blocks, "third", limit)
    third.fill(ids, types)
    assert third.complete
    assert [bool(list((cache / name).glob("*.states"))) for name in names] == [True, False, True]
    assert sum(path.stat().st_size for path in segments(cache)) <= limit


def test_what_a_process_reads_is_never_evicted(cache: Path, blocks: FrozenLayers) -> None:
    ids, types = sequences(40)
    limit = size(40, sum(map(len, ids)), 32) * 3 // 2
    reader = a_cache(cache, blocks, "read", limit)
    reader.fill(ids, types)
    notes: list[str] = []
    other = a_cache(cache, blocks, "other", limit, notes)
    other.fill(ids, types)
    assert not other.complete
    assert any("no room" in note for note in notes)
    assert len(list((cache / "read").glob("*.states"))) == 1
    assert torch.equal(other.lookup(ids, types), reader.lookup(ids, types))
    del reader
    again = a_cache(cache, blocks, "other", limit)
    again.fill(ids, types)
    assert again.complete
    assert not list((cache / "read").glob("*.states"))


def test_the_limit_holds_while_the_store_grows(
    cache: Path, blocks: FrozenLayers, small_segments: None
) -> None:
    ids, types = sequences(300)
    limit = 100_000
    assert limit < size(300, sum(map(len, ids)), 32)
    part = a_cache(cache, blocks, limit=limit)
    part.fill(ids, types)
    held = sum(path.stat().st_size for path in cache.glob("*/*"))
    assert 0.8 * limit < held <= limit
    assert not part.complete
    assert torch.equal(part.lookup(ids, types), a_cache(cache, blocks, limit=0).lookup(ids, types))


def test_a_segment_that_was_removed_can_still_be_read(cache: Path, blocks: FrozenLayers) -> None:
    ids, types = sequences(40)
    reader = a_cache(cache, blocks)
    reader.fill(ids, types)
    for path in segments(cache):
        path.unlink()
    assert torch.equal(
        reader.lookup(ids, types), a_cache(cache, blocks, limit=0).lookup(ids, types)
    )


def test_what_a_killed_writer_left_counts_for_nothing(cache: Path, blocks: FrozenLayers) -> None:
    left = cache / "numbers" / f"{'0' * 32}.0.tmp"
    left.parent.mkdir(parents=True)
    left.write_bytes(bytes(10_000_000))
    ids, types = sequences(40)
    built = a_cache(cache, blocks, limit=1_000_000)
    built.fill(ids, types)
    assert built.complete
    assert not left.exists()


def test_of_two_slots_for_one_segment_the_second_has_to_say_so(cache: Path) -> None:
    store = StateStore(cache, "numbers", 32, GB)
    keys = [bytes([number]) * 16 for number in (1, 2)]
    states = [np.full((3, 32), number, np.float32) for number in (1, 2)]
    first = store.reserve(keys, 6)
    assert isinstance(first, store_module.Slot)
    assert store.reserve(keys[::-1], 6) == "busy"
    assert isinstance(store.reserve(keys[:1], 3), store_module.Slot)
    second = store.reserve(keys, 6, even_if_busy=True)
    assert isinstance(second, store_module.Slot)
    with first, second:
        second.write(keys, states)
        first.write(keys, states)
    store.open(set(keys))
    into = np.empty((3, 32), np.float32)
    assert store.read(keys[1], into)
    assert np.array_equal(into, states[1])
    assert not store.read(bytes(16), into)


def test_a_disabled_cache_misses_always() -> None:
    encoder = find_encoder("random-tiny").load()
    none = make_frozen_cache(RunConfig(), encoder, None, "fingerprint", CPU)
    assert none is DISABLED
    none.fill(*sequences(3))
    none.prefetch(*sequences(3))
    assert none.lookup(*sequences(3)) is None
    assert none.complete


def test_the_size_on_the_command_line_is_in_gigabytes(
    tiny_data: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [
        "train",
        "encoder=random-tiny",
        f"data={tiny_data}",
        "freeze.unfrozen=1",
        "train.max_steps=2",
        "-q",
    ]
    for gigabytes, kept in (("0", False), ("0.00001", False), ("0.01", True)):
        done = CliRunner().invoke(main, [*words, "--fresh", "--cache-size", gigabytes])
        assert done.exit_code == 0, done.output
        assert bool(segments(cache)) is kept
    assert CliRunner().invoke(main, [*words, "--cache-size", "-1"]).exit_code == 2
