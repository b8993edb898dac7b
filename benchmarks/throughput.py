"""Training steps of `mtl` against a plain loop over `transformers.BertModel` (`plain.py`).

Both sides train on the same batches, in turn, `--repeats` times; a figure is the median over the
repeats. Tokens are real tokens: padding does not count on either side. The matrix-product rate is
measured in between, on this machine, with the shapes of the encoder.

For frozen layers, a row `store built` has their states cached (`mtl.model.frozen.cache`) and says
how long that takes; the row without it computes them at every step. SMART is measured against the
same settings without it, and the surgeries against `sum`, on the same batches in turn.

    python benchmarks/throughput.py --data FOLDER
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import torch
from measures import matrix_rates, measure_smart, measure_speed, measure_surgeries

from mtl.model.device import choose_device, keep_memory
from mtl.model.linear import by_onednn
from mtl.runs.environment import environment

ALL_LAYERS = ["baseline", "heads.sts=cosine"]
SETTINGS = {
    "siamese, all layers": ALL_LAYERS,
    "siamese, 3 unfrozen": ["final"],
    "concat, all layers": ["concat", "freeze.unfrozen=all"],
    "concat, 3 unfrozen": ["concat"],
    "consolidated, surgery, all layers": [
        *ALL_LAYERS,
        "schedule=consolidated",
        "surgery=dominant",
    ],
}
DEEP = "12 layers"
STORED = {
    "siamese, 3 unfrozen, store built": ["final"],
    "concat, 3 unfrozen, store built": ["concat"],
    f"{DEEP}, siamese, 3 unfrozen, store built": ["final"],
}
"""Rows with cached states of the frozen layers. The plain loop computes them at every step."""

SMART = {
    "siamese, all layers, mu 0": [*ALL_LAYERS, "smart.mu=0"],
    "siamese, all layers, mu 1": [*ALL_LAYERS, "smart.mu=1"],
}
"""Each is measured against the same settings with `smart=null`."""

SURGERY = "consolidated, surgery"
"""The row that compares the surgeries: siamese, all layers."""

ROWS = [*SETTINGS, *STORED, *SMART, SURGERY]


def main() -> None:
    options = _options()
    device = choose_device(options.device)
    keep_memory()  # as `mtl train` does; the plain loop profits from it too
    speed: dict[str, dict[str, Any]] = {}
    smart: dict[str, dict[str, Any]] = {}
    surgery: dict[str, Any] | None = None
    for name in options.only or ROWS:
        print(f"measuring: {name}", file=sys.stderr, flush=True)
        if name in SMART:
            smart[name] = measure_smart(SMART[name], options, device)
        elif name == SURGERY:
            surgery = measure_surgeries([*ALL_LAYERS, "schedule=consolidated"], options, device)
        else:
            words = (SETTINGS | STORED)[name]
            speed[name] = measure_speed(
                words, options, device, stored=name in STORED, deep=DEEP in name
            )
            print(f"  {speed[name]['ratio']:.2f} times the plain loop", file=sys.stderr, flush=True)
    machine = environment(device).model_dump(mode="json")
    if options.json:
        rows = {"rows": speed, "smart": smart, "surgery": surgery}
        print(json.dumps({"options": vars(options), "environment": machine, **rows}, indent=1))
        return
    _print_machine(machine, options, device)
    if speed:
        _print_speed(speed)
    if smart:
        _print_smart(smart)
    if surgery is not None:
        _print_surgeries(surgery)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="sample", help="sample, or a folder of course files")
    parser.add_argument("--encoder", default="minilm-l6")
    parser.add_argument("--device", help="cpu or cuda; default: cuda if there is one")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20, help="steps per repeat (default 20)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--only", choices=ROWS, action="append", help="measure only this row; repeatable"
    )
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _print_machine(
    machine: dict[str, Any], options: argparse.Namespace, device: torch.device
) -> None:
    processor = machine["processor"] if machine["device"] == "cpu" else machine["device"]
    print(f"{processor}, {machine['threads']} threads, torch {machine['packages']['torch']}")
    print(f"{options.encoder}, batch {options.batch_size}, data {options.data}")
    if device.type == "cpu":
        rates = ", ".join(
            f"{name} {rate / 1e9:.0f} GFLOP/s"
            for name, rate in matrix_rates(device, 512, 384).items()
        )
        library = "oneDNN" if by_onednn() else "torch"
        print(f"products by {library}; 512 x 384 by 384 x 1536: {rates}")
    print(
        f"{options.steps} steps, medians of {options.repeats} interleaved repeats; "
        "real tokens per second\n"
    )


def _print_speed(rows: dict[str, dict[str, Any]]) -> None:
    print(
        "| setting | mtl | plain loop | ratio | real tokens, plain | matrix rate | mtl's share "
        "| plain's share |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, row in rows.items():
        print(
            f"| {name} | {row['mtl_tokens_per_second']:.0f} "
            f"| {row['plain_tokens_per_second']:.0f} | {row['ratio']:.2f} "
            f"| {row['real_share_plain']:.0%} | {row['matrix_gflops']:.0f} GFLOP/s "
            f"| {row['matrix_share_mtl']:.0%} | {row['matrix_share_plain']:.0%} |"
        )
    for name, row in rows.items():
        if (store := row["store"]) is not None:
            print(
                f"\n{name}: {store['tokens_per_second']:.0f} tokens/s are cached, which takes "
                f"{store['seconds']:.0f} s for all {store['tokens']:.0f} of them, as long as "
                f"{store['steps']:.0f} steps with the cache"
            )


def _print_surgeries(surgery: dict[str, Any]) -> None:
    tasks = surgery["tasks_per_step"]
    print(f"\nconsolidated batches, siamese, all layers; {tasks:.2f} tasks per step on average\n")
    print("| surgery | mtl | time over sum's |")
    print("|---|---|---|")
    for name, row in surgery["surgeries"].items():
        print(f"| {name} | {row['tokens_per_second']:.0f} | {row['cost']:.2f} |")


def _print_smart(rows: dict[str, dict[str, Any]]) -> None:
    print("\n| SMART | encoder passes | without SMART | floor | cost of a step | over the floor |")
    print("|---|---|---|---|---|---|")
    for name, row in rows.items():
        passes = row["passes"]
        print(
            f"| {name} | {passes['smart']:g} | {passes['plain']:g} | {row['floor']:.2f} "
            f"| {row['cost']:.2f} | {row['over_floor']:.2f} |"
        )


if __name__ == "__main__":
    main()
