"""The measurements of `throughput.py`: speed against the plain loop, SMART, and the surgeries."""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from caches import cache_in
from plain import PlainLoop
from torch.nn import functional as F

from mtl import config_from
from mtl.cache import CACHE_BYTES
from mtl.data.schedules import Step
from mtl.methods.registry import SURGERIES
from mtl.model.find import find_encoder
from mtl.model.frozen.cache import PREFETCH_STEPS
from mtl.model.linear import ONEDNN, product
from mtl.model.pairing import distinct
from mtl.model.random_tiny import write_random
from mtl.runs.folder import RunFolder
from mtl.runs.prepare import Prepared, prepare
from mtl.training.interrupt import Interruption
from mtl.training.progress import Progress
from mtl.training.run import Training

WARM_UP = 3
"""Steps that are not timed."""

CACHED_STEPS = 200
"""Caching is timed on the rows of this many steps. With far fewer, blocks would not be full."""


def measure_speed(
    words: list[str], options: argparse.Namespace, device: torch.device, *, stored: bool, deep: bool
) -> dict[str, Any]:
    """Tokens per second of `mtl` and of the plain loop. Frozen states use a cache of their own."""
    with tempfile.TemporaryDirectory() as scratch, cache_in(Path(scratch)):
        encoder = _deep_encoder(Path(scratch) / "deep") if deep else options.encoder
        prepared = _prepare([*words, f"encoder={encoder}"], options)
        ours = _training(prepared, Path(scratch), device, CACHE_BYTES if stored else 0)
        plain = PlainLoop(prepared, device)
        steps = ours.plan.epoch(0)
        warm_up, chosen = steps[:WARM_UP], steps[WARM_UP : WARM_UP + options.steps]
        store = None
        if stored:
            store = _fill_cache(ours, steps[: max(CACHED_STEPS, WARM_UP + options.steps)])
        _timed(ours.step, warm_up, device)
        _timed(plain.step, warm_up, device)
        ours.state.tokens, plain.pushed = 0, 0
        times: list[tuple[float, float, float]] = []
        for _ in range(options.repeats):
            rate = max(matrix_rates(device, 512, prepared.pretrained.encoder_config.width).values())
            seconds = _prefetch(ours, chosen) + _timed(ours.step, chosen, device)
            times.append((seconds, _timed(plain.step, chosen, device), rate))
            ours.log.pending.clear()
    tokens = ours.state.tokens / options.repeats
    work = _operations(prepared, int(tokens), stored=stored)
    if store is not None:
        store["steps"] = store["seconds"] / statistics.median(a / len(chosen) for a, _, _ in times)
    return {
        "store": store,
        "mtl_tokens_per_second": statistics.median(tokens / a for a, _, _ in times),
        "plain_tokens_per_second": statistics.median(tokens / b for _, b, _ in times),
        "ratio": statistics.median(b / a for a, b, _ in times),
        "ratios": [round(b / a, 3) for a, b, _ in times],
        "real_share_plain": tokens * options.repeats / plain.pushed,
        "matrix_gflops": statistics.median(rate for _, _, rate in times) / 1e9,
        "matrix_share_mtl": statistics.median(work / a / rate for a, _, rate in times),
        "matrix_share_plain": statistics.median(work / b / rate for _, b, rate in times),
    }


def measure_smart(
    words: list[str], options: argparse.Namespace, device: torch.device
) -> dict[str, Any]:
    """The cost of a step with SMART over the same step without it, in turn on the same batches."""
    prepared = _prepare([*words, f"encoder={options.encoder}"], options)
    without = prepare(prepared.config.model_copy(update={"smart": None}), on_bad_row="skip")
    with tempfile.TemporaryDirectory() as scratch:
        smart, plain = (_training(run, Path(scratch), device) for run in (prepared, without))
        steps = smart.plan.epoch(0)
        chosen = steps[WARM_UP : WARM_UP + options.steps]
        times: list[tuple[float, float]] = []
        for training in (smart, plain):
            _timed(training.step, steps[:WARM_UP], device)
        for _ in range(options.repeats):
            times.append((_timed(smart.step, chosen, device), _timed(plain.step, chosen, device)))
            for training in (smart, plain):
                training.log.pending.clear()
    passes = _passes(prepared)
    cost, floor = statistics.median(a / b for a, b in times), passes["smart"] / passes["plain"]
    return {
        "passes": passes,
        "floor": floor,
        "cost": cost,
        "costs": [round(a / b, 3) for a, b in times],
        "over_floor": cost / floor,
    }


def measure_surgeries(
    words: list[str], options: argparse.Namespace, device: torch.device
) -> dict[str, Any]:
    """Tokens per second of each surgery on the same batches, and its time over that of `sum`."""
    words = [*words, f"encoder={options.encoder}"]
    with tempfile.TemporaryDirectory() as scratch:
        runs = {
            name: _training(_prepare([*words, f"surgery={name}"], options), Path(scratch), device)
            for name in SURGERIES
        }
        steps = runs["sum"].plan.epoch(0)
        chosen = steps[WARM_UP : WARM_UP + options.steps]
        for run in runs.values():
            _timed(run.step, steps[:WARM_UP], device)
            run.state.tokens = 0
        times: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(options.repeats):
            for name, run in runs.items():
                times[name].append(_timed(run.step, chosen, device))
                run.log.pending.clear()
    tokens = runs["sum"].state.tokens / options.repeats
    surgeries: dict[str, Any] = {}
    for name, seconds in times.items():
        costs = [a / b for a, b in zip(seconds, times["sum"], strict=True)]
        surgeries[name] = {
            "tokens_per_second": statistics.median(tokens / value for value in seconds),
            "cost": statistics.median(costs),
            "costs": [round(cost, 3) for cost in costs],
        }
    tasks = statistics.mean(len(step) for step in chosen)
    return {"tasks_per_step": tasks, "surgeries": surgeries}


def matrix_rates(
    device: torch.device, tokens: int, width: int, seconds: float = 0.5
) -> dict[str, float]:
    """Operations per second of float32 products with the encoder's shapes, by library."""
    x = torch.randn(tokens, width, device=device)
    weight = torch.randn(4 * width, width, device=device)
    products: dict[str, Callable[[], object]] = {"torch's own": lambda: F.linear(x, weight)}
    if device.type == "cpu" and ONEDNN:
        products["oneDNN"] = lambda: product(x, weight)
    operations = 2 * tokens * width * 4 * width
    return {
        name: operations * _calls_per_second(call, device, seconds / len(products))
        for name, call in products.items()
    }


def _prepare(words: list[str], options: argparse.Namespace) -> Prepared:
    words = [*words, f"data={options.data}", f"train.batch_size={options.batch_size}"]
    return prepare(config_from(words), on_bad_row="skip")


def _training(
    prepared: Prepared, folder: Path, device: torch.device, cache_bytes: int = CACHE_BYTES
) -> Training:
    """A run that is set up, to be stepped by hand."""
    return Training(
        prepared,
        RunFolder(folder),
        device,
        Interruption(),
        Progress(),
        1e9,
        cache_bytes=cache_bytes,
    )


def _calls_per_second(call: Callable[[], object], device: torch.device, seconds: float) -> float:
    for _ in range(3):
        call()
    _wait(device)
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        for _ in range(10):
            call()
        _wait(device)
        count += 10
    return count / (time.perf_counter() - started)


def _timed(step: Callable[[Step], None], steps: list[Step], device: torch.device) -> float:
    """Seconds of these steps."""
    started = time.perf_counter()
    for rows in steps:
        step(rows)
    _wait(device)
    return time.perf_counter() - started


def _prefetch(ours: Training, steps: list[Step]) -> float:
    """Seconds to compute the frozen states of these steps, as the training loop does in advance."""
    started = time.perf_counter()
    if not ours.frozen_cache.complete:
        for start in range(0, len(steps), PREFETCH_STEPS):
            ours.prefetch(steps[start : start + PREFETCH_STEPS])
    return time.perf_counter() - started


def _fill_cache(ours: Training, steps: list[Step]) -> dict[str, float]:
    """Cache the frozen states of these steps. Returns the rate, and the time for the whole run."""
    prepared = ours.prepared
    every_id, _ = distinct(ours.encoded_rows(), prepared.pairer)
    rows = [prepared.train[task].take(index) for step in steps for task, index in step.items()]
    ids, types = distinct(rows, prepared.pairer)
    started = time.perf_counter()
    ours.frozen_cache.fill(ids, types)
    rate = sum(map(len, ids)) / (time.perf_counter() - started)
    tokens = sum(map(len, every_id))
    return {"tokens_per_second": rate, "tokens": tokens, "seconds": tokens / rate}


def _deep_encoder(folder: Path) -> Path:
    """An encoder with MiniLM's width and vocabulary, and 12 layers of random weights."""
    minilm = find_encoder("minilm-l6").folder
    settings = json.loads((minilm / "config.json").read_text("utf-8"))
    sizes = (
        "vocab_size",
        "hidden_size",
        "num_attention_heads",
        "intermediate_size",
        "max_position_embeddings",
    )
    write_random(folder, seed=0, num_hidden_layers=12, **{name: settings[name] for name in sizes})
    shutil.copy(minilm / "tokenizer.json", folder)
    return folder


def _operations(prepared: Prepared, tokens: int, *, stored: bool) -> float:
    """Floating-point operations of the encoder's linear layers: forward, and backward if trained.

    With `stored` the frozen layers have no forward pass.
    """
    sizes, unfrozen = prepared.pretrained.encoder_config, prepared.config.freeze.unfrozen
    layer = 4 * sizes.width**2 + 2 * sizes.width * sizes.inner
    trained = sizes.layers if unfrozen == "all" else unfrozen
    return tokens * layer * (2 * (trained if stored else sizes.layers) + 4 * trained)


def _passes(prepared: Prepared) -> dict[str, float]:
    """The cost of a step in forward passes through the encoder.

    A forward pass counts 1, a backward pass to weights and inputs 2, to inputs alone 1. `plain` is
    the step without SMART, `smart` the least that SMART needs. Frozen layers have no backward pass
    except that of the ascent; they count by their share of the layers.
    """
    smart, unfrozen = prepared.config.smart, prepared.config.freeze.unfrozen
    layers = prepared.pretrained.encoder_config.layers
    trained = 1.0 if unfrozen == "all" else unfrozen / layers
    plain = with_smart = 1 + 2 * trained
    if smart is not None and smart.lambda_s:
        with_smart += smart.steps * (1 + 1) + 1 + 2 * trained
    if smart is not None and smart.mu:
        with_smart += 1
    return {"plain": plain, "smart": with_smart}


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
