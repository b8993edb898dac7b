"""The frozen cache computes the same numbers as the slow path, in float32 and in half precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mtl.config.schema import RunConfig
from mtl.documents.keys import merge
from mtl.errors import ConfigError
from mtl.model.batch import make_batch
from mtl.model.find import find_encoder
from mtl.model.frozen.cache import DISABLED, StoredFrozenCache, sequence_key
from mtl.model.frozen.layers import FrozenLayers
from mtl.model.frozen.segment import ENTRY, HEADER
from mtl.model.frozen.store import StateStore
from mtl.model.packing import pack
from mtl.model.pretrained import Pretrained
from mtl.model.random_tiny import write_random
from mtl.runs.folder import RunFolder
from mtl.training.loop import train
from tests.frozen_tools import CPU, GB, blocks, cache, filled, frozen, results, segments, sequences

__all__ = ["blocks", "cache"]


# --- exact


SHAPES: list[dict[str, Any]] = [
    {},
    {"hidden_size": 36, "intermediate_size": 50, "num_hidden_layers": 3},
    {"hidden_size": 384, "intermediate_size": 1536, "num_attention_heads": 12},
]


@pytest.mark.parametrize("sizes", SHAPES, ids=str)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_sequences_states_are_its_own_to_the_last_bit(
    tmp_path: Path, sizes: dict[str, Any], precision: Any
) -> None:
    """Whatever it is computed with, in any order, on any number of threads, at every length."""
    write_random(tmp_path / "encoder", seed=1, **sizes)
    encoder = Pretrained("random", tmp_path / "encoder").load()
    draw = np.random.default_rng(0)
    lengths = [*draw.integers(3, 40, 120), 64, 90, 128, 129, 200]
    ids = [draw.integers(5, 100, length).astype(np.int32) for length in lengths]
    types = [np.zeros_like(one) for one in ids]

    def computed(order: Any) -> dict[int, np.ndarray]:
        found = FrozenLayers(encoder, encoder.config.layers - 1, CPU, precision)
        states = found.compute([ids[i] for i in order], [types[i] for i in order])
        return dict(zip(order, states, strict=True))

    together = computed(range(len(ids)))
    others = [computed(draw.permutation(len(ids)).tolist())]
    others.append({i: states for i in range(len(ids)) for states in computed([i]).values()})
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        others.append(computed(range(len(ids))))
        others.append(
            together | {i: states for i in range(60) for states in computed([i]).values()}
        )
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
    for other in others:
        assert all(np.array_equal(together[i], other[i]) for i in range(len(ids)))


@pytest.mark.parametrize("sizes", SHAPES, ids=str)
def test_states_equal_those_of_a_packed_batch_to_rounding(
    tmp_path: Path, sizes: dict[str, Any]
) -> None:
    write_random(tmp_path / "encoder", seed=1, **sizes)
    encoder = Pretrained("random", tmp_path / "encoder").load()
    depth = encoder.config.layers - 1
    ids, types = sequences(60)
    batch = pack(ids, types)
    with torch.no_grad():
        packed = encoder.run(encoder.embed(batch), batch, stop=depth).numpy()
    states = np.concatenate(FrozenLayers(encoder, depth, CPU).compute(ids, types))
    assert packed.std() > 0.1
    assert np.abs(states - packed).max() <= 1e-5


@pytest.mark.parametrize("pairing", ["siamese", "concat"])
@pytest.mark.parametrize(
    ("freeze", "epoch"),
    [
        ({"unfrozen": 0}, 0),
        ({"unfrozen": 1}, 0),
        ({"unfrozen": 0, "thaw": 1}, 0),
        ({"unfrozen": 0, "thaw": 1}, 1),
    ],
    ids=str,
)
@pytest.mark.parametrize("pooling", ["pooler", "max"])
def test_outputs_and_gradients_equal_the_slow_paths(
    tiny: dict[str, Any],
    tmp_path: Path,
    cache: Path,
    pairing: str,
    freeze: dict[str, Any],
    epoch: int,
    pooling: str,
) -> None:
    """The same dropout masks too: below the boundary none are drawn either way."""
    chosen = frozen(tiny, pairing=pairing, freeze=freeze, pooling=pooling, heads__sts="auto")
    training = filled(chosen, tmp_path)
    prepared, model = training.prepared, training.model
    model.epoch = epoch
    step = {task: np.arange(5) for task in prepared.config.tasks}
    found = []
    for frozen_cache in (training.frozen_cache, DISABLED):
        batch = make_batch(prepared.train, step, prepared.pairer, CPU, frozen_cache)
        assert (batch.frozen_states is None) == (frozen_cache is DISABLED)
        torch.manual_seed(0)
        outputs = model(batch, 0.1)
        model.zero_grad()
        sum((one**2).mean() for one in outputs.values()).backward()
        gradients = {
            name: value.grad for name, value in training.trainable.items() if value.grad is not None
        }
        found.append((outputs, gradients))
    (fast, fast_gradients), (slow, slow_gradients) = found
    assert fast_gradients.keys() == slow_gradients.keys()
    for task, output in fast.items():
        assert torch.allclose(output, slow[task], rtol=1e-5, atol=2e-6)
    for name, gradient in fast_gradients.items():
        assert torch.allclose(gradient, slow_gradients[name], rtol=1e-4, atol=1e-5), name


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pairing": "concat", "heads__sts": "auto"},
        {"freeze__unfrozen": 0},
        {"freeze": {"unfrozen": 0, "thaw": 1}},
        {"schedule": "consolidated", "train__batch_size": 9, "surgery": "pcgrad"},
        {"train__precision": "bf16"},
    ],
    ids=str,
)
def test_a_runs_losses_and_scores_equal_the_slow_paths_to_rounding(
    tiny: dict[str, Any],
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
) -> None:
    chosen = frozen(tiny, **changes)
    record = train(chosen, runs=tmp_path / "fast")
    assert segments(cache)
    monkeypatch.setattr("mtl.training.run.make_frozen_cache", lambda *_, **__: DISABLED)
    slow = train(chosen, runs=tmp_path / "slow")
    one, two = (RunFolder(tmp_path / name / record.run_id).history() for name in ("fast", "slow"))
    # bfloat16 rounds by up to 2^-8 at each product; on some processors the sums drift by 2 %.
    bound = 2**-5 if chosen.train.precision == "bf16" else 1e-4
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        if "loss" in a:
            assert a["loss"] == pytest.approx(b["loss"], rel=bound)
    assert record.frozen_unchanged is slow.frozen_unchanged is True


# --- in half precision


def test_half_precision_rounds_what_is_handed_out_stored_or_not(cache: Path) -> None:
    encoder = find_encoder("random-tiny").load()
    whole, half = FrozenLayers(encoder, 1, CPU), FrozenLayers(encoder, 1, CPU, states="fp16")
    ids, types = sequences(40)
    exact = np.concatenate(whole.compute(ids, types))
    rounded = exact.astype(np.float16).astype(np.float32)
    assert not np.array_equal(rounded, exact)
    for limit in (0, GB):
        states_cache = StoredFrozenCache(
            half, StateStore(cache, "half", half.width, limit, half.dtype)
        )
        states_cache.fill(ids, types)
        assert states_cache.complete == bool(limit)
        found = states_cache.lookup(ids, types)
        assert found.dtype == torch.float32
        assert np.array_equal(found.numpy(), rounded)
        states_cache.prefetch(ids, types)
        assert np.array_equal(states_cache.lookup(ids, types).numpy(), rounded)


def test_half_precision_takes_half_the_disk_and_neither_reads_the_others_files(cache: Path) -> None:
    encoder = find_encoder("random-tiny").load()
    ids, types = sequences(200)
    sizes = {}
    for states in ("fp32", "fp16"):
        blocks = FrozenLayers(encoder, 1, CPU, states=states)
        states_cache = StoredFrozenCache(
            blocks, StateStore(cache, states, blocks.width, GB, blocks.dtype)
        )
        states_cache.fill(ids, types)
        (path,) = (cache / states).glob("*.states")
        sizes[states] = path.stat().st_size
    index = 200 * ENTRY.itemsize + HEADER.size
    assert (sizes["fp16"] - index) * 2 == sizes["fp32"] - index
    keys = {sequence_key(*one) for one in zip(ids, types, strict=True)}
    other = StateStore(cache, "fp16", encoder.config.width, GB)  # which expects float32
    other.open(keys)
    assert not any(key in other for key in keys)


def test_a_run_in_half_precision_is_another_run_and_the_same_with_the_store_or_without(
    tiny: dict[str, Any], tmp_path: Path, cache: Path
) -> None:
    half = frozen(tiny, freeze__states="fp16")
    for name, limit in (("cold", GB), ("warm", GB), ("off", 0)):
        train(half, runs=tmp_path / name, cache_bytes=limit)
    assert results(tmp_path / "cold") == results(tmp_path / "warm") == results(tmp_path / "off")
    train(frozen(tiny), runs=tmp_path / "whole")
    assert results(tmp_path / "whole") != results(tmp_path / "cold")
    (one,), (other,) = (tmp_path / "whole").iterdir(), (tmp_path / "cold").iterdir()
    losses = [RunFolder(folder).record() for folder in (one, other)]
    assert losses[0] is not None
    assert losses[1] is not None
    assert losses[0].cell != losses[1].cell


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"freeze": {"scope": ["sst"]}}, "freeze.scope"),
        ({"freeze": {"dropout": True}}, "freeze.dropout"),
        ({"smart": {}}, "smart"),
    ],
)
def test_half_precision_of_layers_that_are_not_fixed_is_refused(
    tiny: dict[str, Any], tmp_path: Path, changes: dict[str, Any], key: str
) -> None:
    settings = merge(frozen(tiny, freeze__states="fp16").model_dump(mode="json"), changes)
    with pytest.raises(ConfigError, match=rf"freeze\.states='fp16' rounds.*change {key}\."):
        train(RunConfig.model_validate(settings), runs=tmp_path)


def test_half_precision_with_every_layer_training_is_refused(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"freeze\.unfrozen=2: .*no layer"):
        train(frozen(tiny, freeze={"unfrozen": 2, "states": "fp16"}), runs=tmp_path)
