"""The frozen prefix: the same numbers as the slow path, the same bits whoever computed them, and nothing computed twice."""

from __future__ import annotations

import errno
import inspect
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from mtl.cli import main
from mtl.config.schema import RunConfig
from mtl.config.settings import merge
from mtl.errors import ConfigError
from mtl.inference.trained import load_trained
from mtl.model.frozen import prefix as prefix_module
from mtl.model.frozen import store as prefix_store
from mtl.model.frozen.blocks import Blocks
from mtl.model.frozen.prefix import NO_PREFIX, FixedPrefix, make_prefix, sequence_key
from mtl.model.frozen.segment import ENTRY, HEADER, size
from mtl.model.frozen.store import PrefixStore
from mtl.model.multitask import make_batch
from mtl.model.packing import pack
from mtl.model.pairing import distinct
from mtl.model.pretrained import Pretrained, find_encoder
from mtl.model.random_tiny import write_random
from mtl.runs.folder import RunFolder
from mtl.runs.prepare import prepare
from mtl.training.interrupt import Interruption
from mtl.training.loop import Training, train
from mtl.training.progress import Progress

CPU = torch.device("cpu")
GB = 10**9


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, with the encoder in it; returns where its prefix store will be."""
    monkeypatch.setenv("MTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(prefix_store, "SPARE_BYTES", 0)
    return tmp_path / "cache" / "prefix"


def frozen(tiny: dict[str, Any], **changes: Any) -> RunConfig:
    """The tiny run with its first layer frozen, with changes; `train__lr=1` means `train: {lr: 1}`."""
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
    training.prefix.fill(*distinct(training.wanted(), training.prepared.pairer))
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
def blocks() -> Blocks:
    return Blocks(find_encoder("random-tiny").load(), 1, CPU)


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Many segments, where a tiny store would have one."""
    monkeypatch.setattr(prefix_module, "SEGMENT_BYTES", (1 << 10, 1 << 12))
    yield


def a_prefix(
    cache: Path,
    blocks: Blocks,
    name: str = "numbers",
    limit: int = GB,
    notes: list[str] | None = None,
) -> FixedPrefix:
    told = [] if notes is None else notes
    return FixedPrefix(blocks, PrefixStore(cache, name, blocks.width, limit), note=told.append)


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
    """Whatever it is computed beside, in which order, and on however many threads; at every length."""
    write_random(tmp_path / "encoder", seed=1, **sizes)
    encoder = Pretrained("random", tmp_path / "encoder").load()
    draw = np.random.default_rng(0)
    lengths = [*draw.integers(3, 40, 120), 64, 90, 128, 129, 200]
    ids = [draw.integers(5, 100, length).astype(np.int32) for length in lengths]
    types = [np.zeros_like(one) for one in ids]

    def computed(order: Any) -> dict[int, np.ndarray]:
        found = Blocks(encoder, encoder.config.layers - 1, CPU, precision)
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
    states = np.concatenate(Blocks(encoder, depth, CPU).compute(ids, types))
    assert packed.std() > 0.1
    assert np.abs(states - packed).max() <= 1e-5


@pytest.mark.parametrize("pairing", ["siamese", "concat"])
@pytest.mark.parametrize("unfrozen", [0, 1])
@pytest.mark.parametrize("pooling", ["pooler", "max"])
def test_outputs_and_gradients_equal_the_slow_paths(
    tiny: dict[str, Any], tmp_path: Path, cache: Path, pairing: str, unfrozen: int, pooling: str
) -> None:
    """The same dropout masks too: below the boundary none are drawn either way."""
    chosen = frozen(
        tiny, pairing=pairing, freeze__unfrozen=unfrozen, pooling=pooling, heads__sts="auto"
    )
    training = filled(chosen, tmp_path)
    prepared, model = training.prepared, training.model
    step = {task: np.arange(5) for task in prepared.config.tasks}
    found = []
    for prefix in (training.prefix, NO_PREFIX):
        batch = make_batch(prepared.train, step, prepared.pairer, CPU, prefix)
        assert (batch.prefix is None) == (prefix is NO_PREFIX)
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
    monkeypatch.setattr("mtl.training.loop.make_prefix", lambda *_, **__: NO_PREFIX)
    slow = train(chosen, runs=tmp_path / "slow")
    one, two = (RunFolder(tmp_path / name / record.run_id).history() for name in ("fast", "slow"))
    bound = 2e-2 if chosen.train.precision == "bf16" else 1e-4
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        if "loss" in a:
            assert a["loss"] == pytest.approx(b["loss"], rel=bound)
    assert record.frozen_unchanged is slow.frozen_unchanged is True


# --- the same bits, whatever the store is like


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pairing": "concat", "heads__sts": "auto"},
        {"schedule": "consolidated", "train__batch_size": 7, "surgery": "dominant"},
        {"train__precision": "bf16"},
        {"train__max_steps": 5},
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
    """Off; without room; cold; filled by a cell with other rows first; warm; with another look ahead."""
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
    monkeypatch.setattr("mtl.training.loop.AHEAD", 2)
    train(chosen, runs=tmp_path / "steps", cache_bytes=0)
    assert results(tmp_path / "steps") == expected


@pytest.mark.parametrize("pairing", ["siamese", "concat"])
def test_a_model_read_back_gives_the_bits_that_the_run_saved(
    tiny: dict[str, Any], tmp_path: Path, cache: Path, pairing: str
) -> None:
    chosen = frozen(tiny, pairing=pairing, heads__sts="auto")
    folder = RunFolder(tmp_path / train(chosen, runs=tmp_path)["run_id"])
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

    monkeypatch.setattr(Blocks, "compute", lambda self, ids, types: [] if not ids else never())
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
    ids, types = distinct(training.wanted(), training.prepared.pairer)
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
    used, every = (sum(len(part) for part in one.wanted()) for one in (few, all_rows))
    assert every - used == 3 * 24 - 2 * 4


BYPASSED: dict[str, dict[str, Any]] = {
    "everything trains": {"freeze__unfrozen": "all"},
    "only embeddings are frozen": {"freeze__unfrozen": 2},
    "some tasks train the prefix": {"freeze__scope": ["sts"]},
    "dropout in the prefix": {"freeze__dropout": True},
    "SMART": {"smart": {}},
    "SMART's teacher alone": {"smart": {"lambda_s": 0.0}},
}


@pytest.mark.parametrize("changes", BYPASSED.values(), ids=BYPASSED.keys())
def test_where_the_prefix_is_not_fixed_it_is_computed_as_ever(
    tiny: dict[str, Any],
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
) -> None:
    chosen = frozen(tiny, **changes)
    assert started(chosen, tmp_path / "unused").prefix is NO_PREFIX
    train(chosen, runs=tmp_path / "one")
    assert not cache.exists()
    monkeypatch.setattr("mtl.training.loop.make_prefix", lambda *_, **__: NO_PREFIX)
    train(chosen, runs=tmp_path / "two")
    assert results(tmp_path / "one") == results(tmp_path / "two")


def test_dropout_of_zero_leaves_the_prefix_fixed(
    tiny: dict[str, Any], tmp_path: Path, cache: Path
) -> None:
    chosen = frozen(tiny, freeze__dropout=True, train__dropout=0.0)
    assert isinstance(started(chosen, tmp_path).prefix, FixedPrefix)


def test_other_weights_depths_precisions_and_token_types_are_other_numbers(tmp_path: Path) -> None:
    encoder = find_encoder("random-tiny").load()
    one = Blocks(encoder, 1, CPU)
    names = [one.numbers("a"), one.numbers("b"), Blocks(encoder, 2, CPU).numbers("a")]
    names += [
        Blocks(encoder, 1, CPU, "bf16").numbers("a"),
        Blocks(encoder, 1, CPU, states="fp16").numbers("a"),
    ]
    assert len(set(names)) == 5
    assert Blocks(encoder, 1, CPU).numbers("a") == names[0]
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


# --- in half precision


def test_half_precision_rounds_what_is_handed_out_stored_or_not(cache: Path) -> None:
    encoder = find_encoder("random-tiny").load()
    whole, half = Blocks(encoder, 1, CPU), Blocks(encoder, 1, CPU, states="fp16")
    ids, types = sequences(40)
    exact = np.concatenate(whole.compute(ids, types))
    rounded = exact.astype(np.float16).astype(np.float32)
    assert not np.array_equal(rounded, exact)
    for limit in (0, GB):
        prefix = FixedPrefix(half, PrefixStore(cache, "half", half.width, limit, half.kind))
        prefix.fill(ids, types)
        assert prefix.complete == bool(limit)
        found = prefix.states(ids, types)
        assert found.dtype == torch.float32
        assert np.array_equal(found.numpy(), rounded)
        prefix.ahead(ids, types)
        assert np.array_equal(prefix.states(ids, types).numpy(), rounded)


def test_half_precision_takes_half_the_disk_and_neither_reads_the_others_files(cache: Path) -> None:
    encoder = find_encoder("random-tiny").load()
    ids, types = sequences(200)
    sizes = {}
    for states in ("fp32", "fp16"):
        blocks = Blocks(encoder, 1, CPU, states=states)
        prefix = FixedPrefix(blocks, PrefixStore(cache, states, blocks.width, GB, blocks.kind))
        prefix.fill(ids, types)
        (path,) = (cache / states).glob("*.states")
        sizes[states] = path.stat().st_size
    index = 200 * ENTRY.itemsize + HEADER.size
    assert (sizes["fp16"] - index) * 2 == sizes["fp32"] - index
    keys = {sequence_key(*one) for one in zip(ids, types, strict=True)}
    other = PrefixStore(cache, "fp16", encoder.config.width, GB)  # which expects float32
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


# --- several writers, kills, damage, no room


BUILD = """
import sys
from pathlib import Path
import numpy as np
import torch
from mtl.model.frozen import prefix
from mtl.model.frozen.prefix import FixedPrefix
from mtl.model.frozen.blocks import Blocks
from mtl.model.frozen.store import PrefixStore
from mtl.model.pretrained import find_encoder

{sequences}

prefix.SEGMENT_BYTES = (1 << 10, 1 << 17)
blocks = Blocks(find_encoder("random-tiny").load(), 1, torch.device("cpu"))
compute, done = blocks.compute, []
def counted(ids, types):
    done.append(len(ids))
    return compute(ids, types)
blocks.compute = counted
built = FixedPrefix(blocks, PrefixStore(Path(sys.argv[1]), "numbers", blocks.width, 10**9))
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


def assert_right(cache: Path, blocks: Blocks) -> None:
    """All sequences are stored, with the numbers that they have when computed here."""
    ids, types = sequences(COUNT, lengths=(3, 60))
    store = PrefixStore(cache, "numbers", blocks.width, GB)
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


def test_two_processes_that_build_at_once_share_the_work(cache: Path, blocks: Blocks) -> None:
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
    cache: Path, blocks: Blocks
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
        store = PrefixStore(cache, "numbers", blocks.width, GB)
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
    cache: Path, blocks: Blocks, damage: Any
) -> None:
    ids, types = sequences(40)
    a_prefix(cache, blocks).fill(ids, types)
    expected = a_prefix(cache, blocks, limit=0).states(ids, types)
    (path,) = segments(cache)
    content = path.read_bytes()
    path.write_bytes(damage(content))
    reader = a_prefix(cache, blocks)
    reader.fill(ids, types)
    assert torch.equal(reader.states(ids, types), expected)
    again = a_prefix(cache, blocks)
    again.fill(ids, types)
    assert torch.equal(again.states(ids, types), expected)
    assert path.read_bytes() == content


def test_what_was_built_is_what_is_read(cache: Path, blocks: Blocks, small_segments: None) -> None:
    ids, types = sequences(200)
    a_prefix(cache, blocks).fill(ids, types)
    assert len(segments(cache)) > 4
    reader = a_prefix(cache, blocks)
    reader.fill(ids, types)
    assert reader.complete
    chosen = [7, 7, 150, 3]
    batch = pack([ids[i] for i in chosen], [types[i] for i in chosen])
    states = reader.states([ids[i] for i in chosen], [types[i] for i in chosen])
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
        monkeypatch.setattr(prefix_store.Slot, "write", refuse)
    elif when == "the folder is a file":
        cache.write_text("in the way")
    elif when == "read-only":
        monkeypatch.setattr(Path, "mkdir", _mkdir_but_not_in(cache))
    elif when == "the disk is nearly full":
        monkeypatch.setattr(prefix_store, "SPARE_BYTES", 10**18)
    else:
        monkeypatch.setattr(PrefixStore, "_alone", refuse)
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


# --- the limit


def test_what_nobody_uses_and_was_read_longest_ago_makes_room(cache: Path, blocks: Blocks) -> None:
    ids, types = sequences(40)
    needed = size(40, sum(map(len, ids)), 32)
    limit = 2 * needed + needed // 2
    names = ["first", "second", "third"]
    for second, name in enumerate(names[:2]):
        a_prefix(cache, blocks, name, limit).fill(ids, types)
        (path,) = (cache / name).glob("*.states")
        os.utime(path, (second, second))
    a_prefix(cache, blocks, "first", limit).fill(ids, types)  # read again, so no longer the oldest
    third = a_prefix(cache, blocks, "third", limit)
    third.fill(ids, types)
    assert third.complete
    assert [bool(list((cache / name).glob("*.states"))) for name in names] == [True, False, True]
    assert sum(path.stat().st_size for path in segments(cache)) <= limit


def test_what_a_process_reads_is_never_evicted(cache: Path, blocks: Blocks) -> None:
    ids, types = sequences(40)
    limit = size(40, sum(map(len, ids)), 32) * 3 // 2
    reader = a_prefix(cache, blocks, "read", limit)
    reader.fill(ids, types)
    notes: list[str] = []
    other = a_prefix(cache, blocks, "other", limit, notes)
    other.fill(ids, types)
    assert not other.complete
    assert any("no room" in note for note in notes)
    assert len(list((cache / "read").glob("*.states"))) == 1
    assert torch.equal(other.states(ids, types), reader.states(ids, types))
    del reader
    again = a_prefix(cache, blocks, "other", limit)
    again.fill(ids, types)
    assert again.complete
    assert not list((cache / "read").glob("*.states"))


def test_the_limit_holds_while_the_store_grows(
    cache: Path, blocks: Blocks, small_segments: None
) -> None:
    ids, types = sequences(300)
    limit = 100_000
    assert limit < size(300, sum(map(len, ids)), 32)
    part = a_prefix(cache, blocks, limit=limit)
    part.fill(ids, types)
    held = sum(path.stat().st_size for path in cache.glob("*/*"))
    assert 0.8 * limit < held <= limit
    assert not part.complete
    assert torch.equal(part.states(ids, types), a_prefix(cache, blocks, limit=0).states(ids, types))


def test_a_segment_that_was_removed_can_still_be_read(cache: Path, blocks: Blocks) -> None:
    ids, types = sequences(40)
    reader = a_prefix(cache, blocks)
    reader.fill(ids, types)
    for path in segments(cache):
        path.unlink()
    assert torch.equal(
        reader.states(ids, types), a_prefix(cache, blocks, limit=0).states(ids, types)
    )


def test_what_a_killed_writer_left_counts_for_nothing(cache: Path, blocks: Blocks) -> None:
    left = cache / "numbers" / f"{'0' * 32}.0.tmp"
    left.parent.mkdir(parents=True)
    left.write_bytes(bytes(10_000_000))
    ids, types = sequences(40)
    built = a_prefix(cache, blocks, limit=1_000_000)
    built.fill(ids, types)
    assert built.complete
    assert not left.exists()


def test_of_two_slots_for_one_segment_the_second_has_to_insist(cache: Path) -> None:
    store = PrefixStore(cache, "numbers", 32, GB)
    keys = [bytes([number]) * 16 for number in (1, 2)]
    states = [np.full((3, 32), number, np.float32) for number in (1, 2)]
    first = store.claim(keys, 6)
    assert isinstance(first, prefix_store.Slot)
    assert store.claim(keys[::-1], 6) == "busy"
    assert isinstance(store.claim(keys[:1], 3), prefix_store.Slot)
    second = store.claim(keys, 6, insist=True)
    assert isinstance(second, prefix_store.Slot)
    with first, second:
        second.write(keys, states)
        first.write(keys, states)
    store.open(set(keys))
    into = np.empty((3, 32), np.float32)
    assert store.read(keys[1], into)
    assert np.array_equal(into, states[1])
    assert not store.read(bytes(16), into)


def test_the_neutral_member_hands_out_nothing() -> None:
    encoder = find_encoder("random-tiny").load()
    none = make_prefix(RunConfig(), encoder, None, "fingerprint", CPU)
    assert none is NO_PREFIX
    none.fill(*sequences(3))
    none.ahead(*sequences(3))
    assert none.states(*sequences(3)) is None
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
