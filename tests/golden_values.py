"""What must not change unless `NUMERICS` is raised: the names of runs and the bits of short runs.

`tests/golden/names.json` holds the cells of presets, of every arm of every shipped definition, of
the shipped studies' named points and of the committed records. `tests/golden/losses.json` holds
the losses of a short run of each preset, by the machine that they were computed on. After a change
that is meant to change numbers:

    python -m tests.golden_values
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

FOLDER = Path(__file__).parent / "golden"
NAMES, LOSSES = FOLDER / "names.json", FOLDER / "losses.json"
REPORTS = Path(__file__).parents[1] / "reports"

SHORT_RUNS = {
    "baseline": ["baseline"],
    "final": ["final"],
    "concat": ["concat"],
    "surgery": ["baseline", "schedule=consolidated", "surgery=pcgrad"],
    "smart": ["final", "smart={}"],
}
"""The presets, and a run of each method that has arithmetic of its own."""

SHORT = ["train.max_steps=6", "train.batch_size=8", "train.lr=1e-4"]


def names() -> dict[str, Any]:
    """Every name that people's runs rest on."""
    from mtl import config_from
    from mtl.ablation.definition import definitions, read_definition
    from mtl.ablation.design import expand
    from mtl.config.presets import PRESETS
    from mtl.config.surgeries import NEEDS
    from mtl.runs.prepare import Sources
    from mtl.study.definition import read_study, studies

    sources = Sources()
    found: dict[str, Any] = {
        "presets": {name: sources.cell(config_from([name])) for name in PRESETS}
    }
    found["definitions"], found["studies"] = {}, {}
    for name, path in sorted(definitions().items()):
        arms = expand(read_definition(path), sources.cell).arms
        # TorchJD's version is in the names of its own arms.
        found["definitions"][name] = {
            arm.name: arm.cell for arm in arms if arm.config.surgery not in NEEDS
        }
    for name, path in sorted(studies().items()):
        study = read_study(path)
        space = study.make_space()
        points = {"base": {}, **study.points()}
        found["studies"][name] = {
            point: sources.cell(space.plain(value)) for point, value in points.items()
        }
    found["records"] = committed(sources)
    return found


def committed(sources: Any) -> dict[str, dict[str, str]]:
    """The names of the committed records, each computed anew from its record's config and the
    data it names."""
    from mtl.config import identity
    from mtl.config.schema import RunConfig

    found: dict[str, dict[str, str]] = {}
    for path in sorted(REPORTS.glob("*/records.json.gz")):
        names = found.setdefault(path.parent.name, {})
        for name, run in json.loads(gzip.decompress(path.read_bytes()))["runs"].items():
            record = run["record"]
            config = RunConfig.model_validate(record["config"])
            encoder = sources.pretrained(config).fingerprint
            with mock.patch.object(identity, "NUMERICS", record["environment"]["numerics"]):
                cell = identity.cell(config, data=record["data"]["fingerprint"], encoder=encoder)
            names[name] = identity.run_id(cell, config.seed)
    return found


def short_run(name: str, runs: Path) -> dict[str, Any]:
    """The numbers of a short run, as hexadecimal floats: losses and gradient norms by step, and
    scores."""
    from mtl import config_from, train
    from tests.conftest import write_tiny_data

    data = write_tiny_data(runs / "data")
    config = config_from([*SHORT_RUNS[name], *SHORT, f"data={data}"])
    record = train(config, runs=runs, device="cpu", wandb="disabled")
    folder = runs / record.run_id
    steps = []
    for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines():
        if "loss" in (step := json.loads(line)):
            values = step["loss"] | {"norm": step["grad_norm"]}
            steps.append({key: float(value).hex() for key, value in values.items()})
    outputs = hashlib.sha256()
    for path in sorted((folder / "predictions").iterdir()):
        outputs.update(path.read_bytes())
    weights = json.loads((folder / "checkpoint" / "model.json").read_text("utf-8"))["sha256"]
    scores = hashlib.sha256(json.dumps(record.metrics, sort_keys=True).encode()).hexdigest()
    return {
        "steps": steps,
        "scores": scores,
        "predictions": outputs.hexdigest(),
        "weights": weights,
    }


def machine() -> str:
    """What the last bits of a run on the CPU depend on."""
    import torch

    from mtl.runs.environment import environment

    known = environment(torch.device("cpu"))
    parts = [known.processor, cpu_model(), torch.backends.cpu.get_cpu_capability()]
    parts += [known.products, f"{known.threads} threads", f"torch {torch.__version__}"]
    return "; ".join(map(str, parts))


def cpu_model() -> str:
    """The numbers of the processor's family and model, where Linux tells them: `25/1`."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return "unknown"
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    known = {key.strip(): value.strip() for key, value in pairs}
    return f"{known.get('cpu family')}/{known.get('model')}"


def main() -> None:
    """Write both files; other machines' losses stay."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["OMP_NUM_THREADS"] = "1"
    FOLDER.mkdir(exist_ok=True)
    NAMES.write_text(json.dumps(names(), indent=1) + "\n", "utf-8")
    losses = json.loads(LOSSES.read_text("utf-8")) if LOSSES.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        losses[machine()] = {name: short_run(name, Path(folder)) for name in SHORT_RUNS}
    LOSSES.write_text(json.dumps(losses, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
