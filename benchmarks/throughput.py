"""Training steps against a plain loop over `transformers.BertModel` (`plain.py`), both in one run.

Both sides train on the same batches of the same rows, in turn, `--repeats` times; a figure is the median over repeats.
Tokens are real ones: padding is not counted on either side. The matrix-product rate is measured in between, on this
machine, with the encoder's own shapes. Where layers are frozen, a row `store built` has their hidden states in the store
(`mtl.model.frozen.cache`), and says what building it costs; the row without it computes them at every step. The surgeries are measured
against `sum`, in turn, on the same consolidated batches.

    python benchmarks/throughput.py --data FOLDER
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
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
from mtl.model.device import choose_device, keep_memory
from mtl.model.frozen.cache import PREFETCH_STEPS
from mtl.model.linear import ONEDNN, by_onednn, product
from mtl.model.pairing import distinct
from mtl.model.pretrained import find_encoder
from mtl.model.random_tiny import write_random
from mtl.runs.environment import environment
from mtl.runs.folder import RunFolder
from mtl.runs.prepare import Prepared, prepare
from mtl.training.interrupt import Interruption
from mtl.training.progress import Progress
from mtl.training.run import Training

SETTINGS = {
    "siamese, all layers": ["baseline", "heads.sts=cosine"],
    "siamese, 3 unfrozen": ["final"],
    "concat, all layers": ["concat", "freeze.unfrozen=all"],
    "concat, 3 unfrozen": ["concat"],
    "consolidated, surgery, all layers": [
        "baseline",
        "heads.sts=cosine",
        "schedule=consolidated",
        "surgery=dominant",
    ],
}
DEEP = "12 layers"
STORED = {
    f"{name}, store built": SETTINGS[name] for name in ("siamese, 3 unfrozen", "concat, 3 unfrozen")
}
STORED |= {f"{DEEP}, siamese, 3 unfrozen, store built": ["final"]}
"""With the frozen layers' hidden states in the store; the plain loop computes them at every step."""


SMART = {
    "siamese, all layers, mu 0": ["baseline", "heads.sts=cosine", "smart.mu=0"],
    "siamese, all layers, mu 1": ["baseline", "heads.sts=cosine", "smart.mu=1"],
}
"""Each against the same settings with `smart=null`."""


BUILD_STEPS = 200
"""Building is measured on the rows of so many steps: on far fewer, many a block would be filled up in vain."""


def matrix_rates(
    device: torch.device, tokens: int, width: int, seconds: float = 0.5
) -> dict[str, float]:
    """Floating-point operations a second of float32 products of the encoder's shapes, by each library at hand."""
    x, weight = (
        torch.randn(tokens, width, device=device),
        torch.randn(4 * width, width, device=device),
    )
    ways = {"torch's own": lambda: F.linear(x, weight)}
    if device.type == "cpu" and ONEDNN:
        ways["oneDNN"] = lambda: product(x, weight)
    operations = 2 * tokens * width * 4 * width
    return {
        name: operations * _a_second(way, device, seconds / len(ways)) for name, way in ways.items()
    }


def _a_second(call: Callable[[], object], device: torch.device, seconds: float) -> float:
    """How many calls a second."""
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


def needed(prepared: Prepared, tokens: int, *, stored: bool = False) -> float:
    """Floating-point operations of the encoder's linear layers for `tokens`: forward, and backward where it trains.

    With `stored` the frozen layers have no forward pass.
    """
    sizes, unfrozen = prepared.pretrained.encoder_config, prepared.config.freeze.unfrozen
    layer = 4 * sizes.width**2 + 2 * sizes.width * sizes.inner
    trained = sizes.layers if unfrozen == "all" else unfrozen
    return tokens * layer * (2 * (trained if stored else sizes.layers) + 4 * trained)


def timed(step: Callable[[Step], None], steps: list[Step], device: torch.device) -> float:
    started = time.perf_counter()
    for rows in steps:
        step(rows)
    _wait(device)
    return time.perf_counter() - started


def ahead(ours: Training, steps: list[Step]) -> list[Step]:
    """What the loop does before these steps where the store does not hold their frozen part."""
    if not ours.frozen_cache.complete:
        for start in range(0, len(steps), PREFETCH_STEPS):
            ours.prefetch(steps[start : start + PREFETCH_STEPS])
    return steps


def deep_encoder(folder: Path) -> Path:
    """An encoder of MiniLM's width and vocabulary with 12 layers of random weights."""
    model = find_encoder("minilm-l6").folder
    settings = json.loads((model / "config.json").read_text("utf-8"))
    sizes = (
        "vocab_size",
        "hidden_size",
        "num_attention_heads",
        "intermediate_size",
        "max_position_embeddings",
    )
    write_random(folder, seed=0, num_hidden_layers=12, **{name: settings[name] for name in sizes})
    shutil.copy(model / "tokenizer.json", folder)
    return folder


def build_store(ours: Training, steps: list[Step]) -> dict[str, float]:
    """Fill the store with what the steps need; what that took, and how much the whole run needs."""
    prepared, whole = ours.prepared, distinct(ours.encoded_rows(), ours.prepared.pairer)
    used = [prepared.train[task].take(rows) for step in steps for task, rows in step.items()]
    ids, types = distinct(used, prepared.pairer)
    started = time.perf_counter()
    ours.frozen_cache.fill(ids, types)
    seconds = time.perf_counter() - started
    rate = sum(map(len, ids)) / seconds
    return {
        "tokens_per_second": rate,
        "tokens": sum(map(len, whole[0])),
        "seconds": sum(map(len, whole[0])) / rate,
    }


def measure(
    words: list[str], options: argparse.Namespace, device: torch.device, *, stored: bool, deep: bool
) -> dict[str, Any]:
    """One row of the table. A store is a new one, in a folder of its own."""
    words = [*words, f"data={options.data}", f"train.batch_size={options.batch_size}"]
    with tempfile.TemporaryDirectory() as folder, cache_in(Path(folder)):
        encoder = deep_encoder(Path(folder) / "deep") if deep else options.encoder
        prepared = prepare(config_from([*words, f"encoder={encoder}"]), on_bad_row="skip")
        limit = CACHE_BYTES if stored else 0
        ours = Training(
            prepared,
            RunFolder(Path(folder)),
            device,
            Interruption(),
            Progress(),
            1e9,
            cache_bytes=limit,
        )
        plain = PlainLoop(prepared, device)
        steps = ours.plan.epoch(0)
        warm, chosen = steps[:3], steps[3 : 3 + options.steps]
        built = build_store(ours, steps[: max(BUILD_STEPS, 3 + options.steps)]) if stored else None
        timed(ours.step, warm, device)
        timed(plain.step, warm, device)
        ours.state.tokens, plain.pushed = 0, 0
        times: list[tuple[float, float, float]] = []
        for _ in range(options.repeats):
            rate = max(matrix_rates(device, 512, prepared.pretrained.encoder_config.width).values())
            started = time.perf_counter()
            ahead(ours, chosen)
            spent = time.perf_counter() - started
            times.append(
                (spent + timed(ours.step, chosen, device), timed(plain.step, chosen, device), rate)
            )
            ours.log.pending.clear()
    tokens = ours.state.tokens / options.repeats
    work = needed(prepared, int(tokens), stored=stored)
    if built is not None:
        built["steps"] = built["seconds"] / statistics.median(a / len(chosen) for a, _, _ in times)
    return {
        "store": built,
        "mtl_tokens_per_second": statistics.median(tokens / a for a, _, _ in times),
        "plain_tokens_per_second": statistics.median(tokens / b for _, b, _ in times),
        "ratio": statistics.median(b / a for a, b, _ in times),
        "ratios": [round(b / a, 3) for a, b, _ in times],
        "real_share_plain": tokens * options.repeats / plain.pushed,
        "matrix_gflops": statistics.median(rate for _, _, rate in times) / 1e9,
        "matrix_share_mtl": statistics.median(work / a / rate for a, _, rate in times),
        "matrix_share_plain": statistics.median(work / b / rate for _, b, rate in times),
    }


def passes(prepared: Prepared) -> dict[str, float]:
    """What a step costs in forward passes through the encoder: a forward is 1, a backward to weights and inputs 2, to
    inputs alone 1. `plain` is the step without SMART, `smart` the least that SMART needs. Frozen layers have no backward
    but the ascent's, counted by their share of the layers.
    """
    smart, sizes, unfrozen = (
        prepared.config.smart,
        prepared.pretrained.encoder_config,
        prepared.config.freeze.unfrozen,
    )
    trains = 1.0 if unfrozen == "all" else unfrozen / sizes.layers
    plain = whole = 1 + 2 * trains
    if smart is not None and smart.lambda_s:
        whole += smart.steps * (1 + 1) + 1 + 2 * trains
    if smart is not None and smart.mu:
        whole += 1
    return {"plain": plain, "smart": whole}


def measure_smart(
    words: list[str], options: argparse.Namespace, device: torch.device
) -> dict[str, Any]:
    """What SMART's step costs against the same step without it, in turn on the same batches."""
    words = [
        *words,
        f"data={options.data}",
        f"train.batch_size={options.batch_size}",
        f"encoder={options.encoder}",
    ]
    prepared = prepare(config_from(words), on_bad_row="skip")
    without = prepare(prepared.config.model_copy(update={"smart": None}), on_bad_row="skip")
    with tempfile.TemporaryDirectory() as folder:
        smart, plain = (
            Training(one, RunFolder(Path(folder)), device, Interruption(), Progress(), 1e9)
            for one in (prepared, without)
        )
        steps = smart.plan.epoch(0)
        chosen = steps[3 : 3 + options.steps]
        times: list[tuple[float, float]] = []
        for training in (smart, plain):
            timed(training.step, steps[:3], device)
        for _ in range(options.repeats):
            times.append((timed(smart.step, chosen, device), timed(plain.step, chosen, device)))
            for training in (smart, plain):
                training.log.pending.clear()
    counted = passes(prepared)
    cost, floor = statistics.median(a / b for a, b in times), counted["smart"] / counted["plain"]
    return {
        "passes": counted,
        "floor": floor,
        "cost": cost,
        "costs": [round(a / b, 3) for a, b in times],
        "over_floor": cost / floor,
    }


SURGERY = "consolidated, surgery"
"""The row name of the comparison of surgeries: siamese, all layers."""


def measure_surgery(options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Tokens a second of each surgery on the same consolidated batches, and its time over that of `sum`."""
    words = [*SETTINGS["siamese, all layers"], "schedule=consolidated", f"data={options.data}"]
    words += [f"train.batch_size={options.batch_size}", f"encoder={options.encoder}"]
    with tempfile.TemporaryDirectory() as folder:
        runs = {}
        for name in SURGERIES:
            prepared = prepare(config_from([*words, f"surgery={name}"]), on_bad_row="skip")
            runs[name] = Training(
                prepared, RunFolder(Path(folder)), device, Interruption(), Progress(), 1e9
            )
        steps = runs["sum"].plan.epoch(0)
        warm, chosen = steps[:3], steps[3 : 3 + options.steps]
        for run in runs.values():
            timed(run.step, warm, device)
            run.state.tokens = 0
        times: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(options.repeats):
            for name, run in runs.items():
                times[name].append(timed(run.step, chosen, device))
                run.log.pending.clear()
    tokens = runs["sum"].state.tokens / options.repeats
    return {
        "tasks_per_step": statistics.mean(len(step) for step in chosen),
        "surgeries": {
            name: {
                "tokens_per_second": statistics.median(tokens / one for one in found),
                "cost": statistics.median(
                    one / plain for one, plain in zip(found, times["sum"], strict=True)
                ),
                "costs": [
                    round(one / plain, 3) for one, plain in zip(found, times["sum"], strict=True)
                ],
            }
            for name, found in times.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="sample", help="sample, or a folder of course files")
    parser.add_argument("--encoder", default="minilm-l6")
    parser.add_argument("--device", help="cpu or cuda; default: cuda where there is one")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20, help="steps a repeat (default 20)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--only",
        choices=[*SETTINGS, *STORED, *SMART, SURGERY],
        action="append",
        help="measure this row alone; repeatable",
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    device = choose_device(options.device)
    keep_memory()  # as `mtl train` does; the plain loop gains from it too
    found, smart = {}, {}
    surgery = None
    for name in options.only or [*SETTINGS, *STORED, *SMART, SURGERY]:
        print(f"measuring: {name}", file=sys.stderr, flush=True)
        if name in SMART:
            smart[name] = measure_smart(SMART[name], options, device)
        elif name == SURGERY:
            surgery = measure_surgery(options, device)
        else:
            found[name] = measure(
                (SETTINGS | STORED)[name], options, device, stored=name in STORED, deep=DEEP in name
            )
            print(f"  {found[name]['ratio']:.2f} times the plain loop", file=sys.stderr, flush=True)
    machine = environment(device).as_json()
    if options.json:
        rows = {"rows": found, "smart": smart, "surgery": surgery}
        print(json.dumps({"options": vars(options), "environment": machine, **rows}, indent=1))
        return
    print(
        f"{machine['processor'] if machine['device'] == 'cpu' else machine['device']}, {machine['threads']} threads, "
    )
    print(
        f"torch {machine['packages']['torch']}, {options.encoder}, batch {options.batch_size}, data {options.data}"
    )
    if device.type == "cpu":
        rates = matrix_rates(device, 512, 384)
        said = ", ".join(f"{name} {rate / 1e9:.0f} GFLOP/s" for name, rate in rates.items())
        print(
            f"products by {'oneDNN' if by_onednn() else 'torch'}; 512 x 384 by 384 x 1536: {said}"
        )
    print(
        f"{options.steps} steps, medians of {options.repeats} interleaved repeats; real tokens a second\n"
    )
    if found:
        print_speed(found)
    if smart:
        print_smart(smart)
    if surgery is not None:
        print_surgery(surgery)


def print_speed(found: dict[str, dict[str, Any]]) -> None:
    print(
        "| setting | mtl | plain loop | ratio | real tokens, plain | matrix rate | mtl's share | plain's share |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, row in found.items():
        print(
            f"| {name} | {row['mtl_tokens_per_second']:.0f} | {row['plain_tokens_per_second']:.0f} | {row['ratio']:.2f} "
            f"| {row['real_share_plain']:.0%} | {row['matrix_gflops']:.0f} GFLOP/s | {row['matrix_share_mtl']:.0%} "
            f"| {row['matrix_share_plain']:.0%} |"
        )
    for name, row in found.items():
        if (store := row["store"]) is not None:
            print(
                f"\n{name}: building takes {store['tokens_per_second']:.0f} tokens/s, {store['seconds']:.0f} s for all "
                f"{store['tokens']:.0f} of them, as long as {store['steps']:.0f} steps with the store"
            )


def print_surgery(surgery: dict[str, Any]) -> None:
    print(
        f"\nconsolidated batches, siamese, all layers; {surgery['tasks_per_step']:.2f} tasks a step on average\n"
    )
    print("| surgery | mtl | time over sum's |")
    print("|---|---|---|")
    for name, row in surgery["surgeries"].items():
        print(f"| {name} | {row['tokens_per_second']:.0f} | {row['cost']:.2f} |")


def print_smart(found: dict[str, dict[str, Any]]) -> None:
    print("\n| SMART | encoder passes | without SMART | floor | cost of a step | over the floor |")
    print("|---|---|---|---|---|---|")
    for name, row in found.items():
        print(
            f"| {name} | {row['passes']['smart']:g} | {row['passes']['plain']:g} | {row['floor']:.2f} "
            f"| {row['cost']:.2f} | {row['over_floor']:.2f} |"
        )


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
