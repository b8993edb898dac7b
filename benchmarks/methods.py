"""The cost of each method: seconds of its training step against those of the step without it.

Both run in one process, in turn, on the same rows. Medians of steps.

    python benchmarks/methods.py --steps 8
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from mtl import config_from
from mtl.model.device import keep_memory, processor
from mtl.runs.folder import RunFolder
from mtl.runs.prepare import prepare
from mtl.training.interrupt import Interruption
from mtl.training.progress import Progress
from mtl.training.run import Training

METHODS: dict[str, tuple[list[str], list[str]]] = {
    "schedule=joint": ([], ["schedule=joint"]),
    "train.accumulate=4": ([], ["train.accumulate=4"]),
    "train.head_lr": ([], ["train.head_lr=1e-3"]),
    "train.layer_decay": ([], ["train.layer_decay=0.8"]),
    "train.ema": ([], ["train.ema=0.999"]),
    "lora": ([], ["lora={}"]),
    "lora.targets=all": ([], ["lora.targets=all"]),
    "freeze.unfrozen=3": ([], ["freeze.unfrozen=3"]),
    "smart": ([], ["smart={}"]),
    "rdrop": ([], ["rdrop=0.5"]),
    **{
        f"losses.{word}": ([], [f"losses.{word}"])
        for word in ("sst=label_smoothing", "sst=focal", "sst=class_weights", "sst=ordinal",
                     "quora=mnrl", "sts=cosent")
    },
    **{
        f"task_weights={rule}": (["schedule=joint"], ["schedule=joint", f"task_weights={rule}"])
        for rule in ("uncertainty", "dwa")
    },
    **{
        f"surgery={word}": (["schedule=joint"], ["schedule=joint", f"surgery={word}"])
        for word in ("pcgrad", "gradvac", "mgda", "imtlg", "alignedmtl", "cagrad", "upgrad",
                     "dualproj", "fairgrad", "random")
    },
}  # fmt: skip
"""Each method: the settings without it, and with it."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="sample", help="sample, or a folder of course files")
    parser.add_argument("--encoder", default="minilm-l6")
    parser.add_argument("--steps", type=int, default=8)
    options = parser.parse_args()
    keep_memory()
    base = [f"data={options.data}", f"encoder={options.encoder}"]
    print(f"{processor()}; {torch.get_num_threads()} threads; {options.encoder}, batch 16")
    print("| method | without, ms | with, ms | ratio |\n|---|---|---|---|")
    for name, (without, words) in METHODS.items():
        plain, own = compare([*base, *without], [*base, *words], options.steps)
        print(f"| {name} | {1000 * plain:.0f} | {1000 * own:.0f} | {own / plain:.2f} |", flush=True)


def compare(without: list[str], words: list[str], steps: int) -> tuple[float, float]:
    """The median seconds of a step without and with a method, measured in turn."""
    with tempfile.TemporaryDirectory() as folder, Interruption() as interruption:
        runs = []
        for number, given in enumerate((without, words)):
            prepared = prepare(config_from(given))
            place = RunFolder(Path(folder) / str(number))
            # Without a cache: a step pays for all that it computes.
            runs.append(
                Training(
                    prepared,
                    place,
                    torch.device("cpu"),
                    interruption,
                    Progress(),
                    1e9,
                    cache_bytes=0,
                )  # fmt: skip
            )
        seconds: list[list[float]] = [[], []]
        for step in range(steps + 2):
            for run, spent in zip(runs, seconds, strict=True):
                start = time.perf_counter()
                run.step(run.plan.rows(step))
                if step >= 2:  # the first ones warm up
                    spent.append(time.perf_counter() - start)
    plain, own = (statistics.median(spent) for spent in seconds)
    return plain, own


if __name__ == "__main__":
    main()
