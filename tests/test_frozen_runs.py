"""Runs with the store of frozen states give the bits of runs without, and compute nothing twice."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtl.inference.trained import load_trained
from mtl.model.find import find_encoder
from mtl.model.frozen.cache import DISABLED, StoredFrozenCache, sequence_key
from mtl.model.frozen.layers import FrozenLayers
from mtl.model.frozen.segment import size
from mtl.model.pairing import distinct
from mtl.runs.folder import RunFolder
from mtl.runs.prepare import prepare
from mtl.training.loop import train
from mtl.training.progress import Progress
from tests.frozen_tools import (
    CPU,
    GB,
    cache,
    filled,
    frozen,
    results,
    segments,
    small_segments,
    started,
)

__all__ = ["cache", "small_segments"]


# --- the same bits, whatever the store is like


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pairing": "concat", "heads__sts": "auto"},
        {"schedule": "consolidated", "train__batch_size": 7, "surgery": "dominant"},
        {"train__precision": "bf16"},
        {"train__max_steps": 5},
        {"freeze": {"unfrozen": 0, "thaw": 1}},
    ],
    ids=str,
)
def test_the_store_changes_no_bit_of_a_run(
    tiny: dict[str, Any],
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    small_segments: None,
    changes: dict[str, Any],
) -> None:
    """Off; without room; cold; filled with other rows; warm; with another prefetch."""
    chosen = frozen(tiny, **changes)
    train(chosen, runs=tmp_path / "off", cache_bytes=0)
    assert not cache.exists()
    expected = results(tmp_path / "off")
    train(chosen, runs=tmp_path / "no room", cache_bytes=3000)
    assert results(tmp_path / "no room") == expected
    for number, limit in enumerate((4, None)):
        monkeypatch.setenv("MTL_CACHE", str(tmp_path / f"cache-{number}"))
        train(frozen(tiny, **changes, limit=limit, seed=1), runs=tmp_path / f"other-{number}")
        for name in ("cold", "warm"):
            train(chosen, runs=tmp_path / f"{name}-{number}")
            assert results(tmp_path / f"{name}-{number}") == expected
    monkeypatch.setattr("mtl.training.loop.PREFETCH_STEPS", 2)
    train(chosen, runs=tmp_path / "steps", cache_bytes=0)
    assert results(tmp_path / "steps") == expected


@pytest.mark.parametrize("pairing", ["siamese", "concat"])
@pytest.mark.parametrize("freeze", [{"unfrozen": 1}, {"unfrozen": 0, "thaw": 1}], ids=str)
def test_a_model_read_back_gives_the_bits_that_the_run_saved(
    tiny: dict[str, Any], tmp_path: Path, cache: Path, pairing: str, freeze: dict[str, Any]
) -> None:
    chosen = frozen(tiny, pairing=pairing, heads__sts="auto", freeze=freeze)
    folder = RunFolder(tmp_path / train(chosen, runs=tmp_path).run_id)
    stored = segments(cache)
    again = load_trained(folder, "cpu").evaluator.predict_all(prepare(chosen).dev)
    for task, predictions in again.items():
        assert np.array_equal(predictions.outputs, folder.predictions("dev", task).outputs)
    assert segments(cache) == stored


def test_with_the_store_built_nothing_below_the_boundary_is_computed(
    tiny: dict[str, Any], tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in training nor in evaluation, whatever the seed and the arm."""
    train(frozen(tiny), runs=tmp_path)

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("the frozen part was computed")

    monkeypatch.setattr(
        FrozenLayers, "compute", lambda self, ids, types: [] if not ids else never()
    )
    monkeypatch.setattr("mtl.model.encoder.Encoder.embed", never)
    for changes in (
        {"seed": 1},
        {"heads__quora": "features"},
        {"limit": 7},
        {"schedule": "consolidated"},
    ):
        assert train(frozen(tiny, **changes), runs=tmp_path).status == "done"


def test_each_distinct_sequence_is_stored_once(
    tiny: dict[str, Any], tmp_path: Path, cache: Path
) -> None:
    training = filled(frozen(tiny), tmp_path)
    ids, types = distinct(training.encoded_rows(), training.prepared.pairer)
    (path,) = segments(cache)
    tokens = sum(len(sequence) for sequence in ids)
    assert len({sequence_key(*one) for one in zip(ids, types, strict=True)}) == len(ids)
    assert path.stat().st_size == size(len(ids), tokens, 32)
    filled(frozen(tiny, limit=5), tmp_path)
    assert segments(cache) == [path]


def test_a_run_of_few_steps_computes_only_their_rows(
    tiny: dict[str, Any], tmp_path: Path, cache: Path
) -> None:
    few, all_rows = (started(frozen(tiny, train__max_steps=limit), tmp_path) for limit in (2, None))
    used, every = (sum(len(part) for part in one.encoded_rows()) for one in (few, all_rows))
    assert every - used == 3 * 24 - 2 * 4


BYPASSED: dict[str, dict[str, Any]] = {
    "everything trains": {"freeze__unfrozen": "all"},
    "only embeddings are frozen": {"freeze__unfrozen": 2},
    "some tasks train the lower layers": {"freeze__scope": ["sts"]},
    "dropout in the frozen layers": {"freeze__dropout": True},
    "the lowest layer thaws": {"freeze__thaw": 1, "train__epochs": 3},
    "all but the embeddings thaw": {"freeze__thaw": 1},
    "SMART": {"smart": {}},
    "SMART's teacher alone": {"smart": {"lambda_s": 0.0}},
}


@pytest.mark.parametrize("changes", BYPASSED.values(), ids=BYPASSED.keys())
def test_where_states_are_not_fixed_nothing_is_cached(
    tiny: dict[str, Any],
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
) -> None:
    chosen = frozen(tiny, **changes)
    assert started(chosen, tmp_path / "unused").frozen_cache is DISABLED
    train(chosen, runs=tmp_path / "one")
    assert not cache.exists()
    monkeypatch.setattr("mtl.training.run.make_frozen_cache", lambda *_, **__: DISABLED)
    train(chosen, runs=tmp_path / "two")
    assert results(tmp_path / "one") == results(tmp_path / "two")


def test_dropout_of_zero_leaves_the_states_fixed(
    tiny: dict[str, Any], tmp_path: Path, cache: Path
) -> None:
    chosen = frozen(tiny, freeze__dropout=True, train__dropout=0.0)
    assert isinstance(started(chosen, tmp_path).frozen_cache, StoredFrozenCache)


def test_other_weights_depths_precisions_and_token_types_are_other_numbers(tmp_path: Path) -> None:
    encoder = find_encoder("random-tiny").load()
    one = FrozenLayers(encoder, 1, CPU)
    names = [one.version("a"), one.version("b"), FrozenLayers(encoder, 2, CPU).version("a")]
    names += [
        FrozenLayers(encoder, 1, CPU, "bf16").version("a"),
        FrozenLayers(encoder, 1, CPU, states="fp16").version("a"),
    ]
    assert len(set(names)) == 5
    assert FrozenLayers(encoder, 1, CPU).version("a") == names[0]
    ids, types = np.array([2, 7, 3, 9, 3]), np.array([0, 0, 0, 1, 1])
    assert sequence_key(ids, types) != sequence_key(ids, np.zeros_like(types))
    assert sequence_key(ids, types) == sequence_key(ids.astype(np.int32), types.astype(np.int16))


def test_a_run_stopped_anywhere_goes_on_to_the_same_bits_with_the_store_or_without(
    tiny: dict[str, Any], tmp_path: Path, cache: Path, small_segments: None
) -> None:
    """Also while the store is being built, which then is not lost."""
    chosen = frozen(tiny, train__decay="linear")
    train(chosen, runs=tmp_path / "whole")

    class Stop(Progress):
        def __init__(self, at: str, after: int) -> None:
            self.at, self.left = at, after

        def preparing(self, done: int, total: int) -> None:
            self.came("preparing")

        def stepped(self, step: int, losses: Any, tokens_per_second: float) -> None:
            self.came("stepped")

        def evaluating(self, step: int) -> None:
            self.came("evaluating")

        def came(self, what: str) -> None:
            self.left -= self.at == what
            if self.left == 0 and self.at == what:
                os.kill(os.getpid(), signal.SIGTERM)

    for path in segments(cache):
        path.unlink()
    for at, after, limit in (
        ("preparing", 2, GB),
        ("stepped", 1, 0),
        ("evaluating", 1, GB),
        ("stepped", 1, 3000),
    ):
        record = train(
            chosen, runs=tmp_path / "stopped", progress=Stop(at, after), cache_bytes=limit
        )
        assert record.status == "interrupted", at
        assert segments(cache)
    assert train(chosen, runs=tmp_path / "stopped").status == "done"
    assert results(tmp_path / "stopped") == results(tmp_path / "whole")
