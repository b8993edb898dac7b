"""From a folder of runs to compact records. Everything is read once; nothing is trained and no data is needed.

A grid is what `mtl ablate` left: its definition and the names of its runs. A run alone is a design of one arm.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mtl.ablation.definition import Definition, read_definition
from mtl.ablation.design import Design, expand
from mtl.ablation.results import Runs
from mtl.config import identity
from mtl.config.schema import RunConfig
from mtl.errors import RunError
from mtl.grid.arm import Arm
from mtl.report.archive import SCHEMA, Archive, pack, plain
from mtl.report.leaks import leaks_of
from mtl.report.material import Material
from mtl.runs.folder import GRIDS, RunFolder
from mtl.runs.record import Opening, Record
from mtl.tasks.metrics import Predictions
from mtl.tasks.registry import TASKS, TaskName

KEPT = ("run_id", "cell", "seed", "status", "metrics", "undefined", "best_step", "steps", "seconds", "throughput",
        "peak_memory", "diagnostics", "frozen_unchanged", "data")  # fmt: skip
MACHINE = ("python", "numerics", "processor", "cores", "threads", "device", "cuda")
PLACES = ("data", "encoder")
"""Settings that may hold a folder; reports show the end of it."""

_ABSOLUTE = re.compile(r"(?<![\w./~:])(?:~|/[\w.@+-]+)(?:/[\w.@+-]+)*/([\w.@+-]+)")


def grid_folder(runs: Path, name: str) -> Path:
    """Where a grid of that name lies among runs."""
    return runs / GRIDS / name


def gather_grid(
    folder: Path, runs: Path, *, text: bool | None, before: Archive | None = None
) -> Archive:
    """The records of a grid. `before` are records made earlier: what they know of leaks in the same data is taken over.

    Raises RunError where the folder's files are missing or do not belong together.
    """
    definition = read_definition(folder / "definition.yaml")
    try:
        grid = json.loads((folder / "grid.json").read_text("utf-8"))
        named: dict[str, dict[str, str]] = grid["runs"]
        looks = int(grid["looks"])
    except (OSError, ValueError, KeyError) as error:
        raise RunError(
            f"{folder / 'grid.json'}: {error}. `mtl ablate --grid {definition.name}` writes it."
        ) from None
    design = expand(definition, _without_data)
    if {arm.name for arm in design.arms} != set(named):
        raise RunError(
            f"{folder}: definition.yaml and grid.json name different arms. Run `mtl ablate --grid {definition.name}` again."
        )
    cells = {
        name: next(iter(ids.values())).rpartition("-s")[0] for name, ids in named.items() if ids
    }
    design = replace(design, arms=tuple(replace(arm, cell=cells[arm.name]) for arm in design.arms))
    seeds = {name: tuple(int(seed) for seed in ids) for name, ids in named.items()}
    return _gather("grid", definition, design, seeds, runs, looks=looks, text=text, before=before)


def gather_run(folder: RunFolder, *, text: bool | None, before: Archive | None = None) -> Archive:
    """The records of one run. Raises RunError where it has not ended."""
    record = folder.record()
    if record is None:
        raise RunError(
            f"{folder.path}: {folder.state()}: no record yet. A report needs a run that has ended."
        )
    config = folder.config()
    arm = Arm(name=folder.run_id, config=config, cell=record.cell, changes={}, levels={})
    design = Design(arms=(arm,), baseline=arm.name, factors={}, combinations={})
    definition = Definition(
        name=folder.run_id, question="What did this run learn?", seeds=(config.seed,)
    )
    seeds = {arm.name: (config.seed,)}
    return _gather(
        "run", definition, design, seeds, folder.path.parent, looks=1, text=text, before=before
    )


def _without_data(config: RunConfig) -> str:
    """What tells arms apart where the data is not at hand; the runs' own cells take its place."""
    return identity.cell(config, data=config.data, encoder=config.encoder)


def _gather(
    kind: str,
    definition: Definition,
    design: Design,
    seeds: Mapping[str, Sequence[int]],
    root: Path,
    *,
    looks: int,
    text: bool | None,
    before: Archive | None,
) -> Archive:
    found = _Gathered(root)
    for arm in design.arms:
        for seed in seeds[arm.name]:
            found.add(identity.run_id(arm.cell, seed), arm.config.tasks)
    sources = {arm.config.data for arm in design.arms}
    archive = {
        "schema": SCHEMA,
        "kind": kind,
        "name": definition.name,
        "question": definition.question,
        "base": definition.base,
        "margin": definition.margin,
        "looks": looks,
        "claims": [claim.plain() for claim in definition.claims],
        "text": sources == {"sample"} if text is None else text,
        "design": _plain_design(design),
        "seeds": {name: list(chosen) for name, chosen in seeds.items()},
        "runs": found.runs,
        "rows": found.rows,
        "leaks": leaks_of(found.records, {arm.cell: arm.config for arm in design.arms}, before),
    }
    material = Material(archive)
    for focus in material.focus:
        found.keep_whole(material.run_id(focus.name, focus.seeds[0]))
    configs = [arm.config.model_dump() for arm in design.arms] + [
        record.config for record in found.records
    ]
    short = short_names(config[key] for config in configs for key in PLACES)
    # As it is read back, whoever asks.
    same: Archive = json.loads(plain(each_text(archive, lambda words: shortened(words, short))))
    return same


class _Gathered:
    """Collects runs and, once each, the rows that they were scored on."""

    def __init__(self, root: Path) -> None:
        self.root, self.reader = root, Runs(root)
        self.predictions: dict[str, dict[TaskName, Predictions]] = {}
        self.records: list[Record] = []
        self.runs: dict[str, dict[str, Any]] = {}
        self.rows: dict[str, dict[str, Any]] = {}

    def add(self, run_id: str, tasks: Sequence[TaskName]) -> None:
        folder = RunFolder(self.root / run_id)
        record, reason = self.reader.record(run_id)
        try:
            known = record or folder.record()
            tests = folder.openings()
        except RunError:
            known, tests = None, []
        self.records += [] if known is None else [known]
        self.runs[run_id] = {
            "record": None if known is None else self.trimmed(known),
            "reason": without_paths(reason, self.root),
            "history": [] if known is None else _history(folder),
            "tests": [_opening(opening) for opening in tests],
            "dev": {}
            if record is None
            else {task: self.dev(folder, run_id, task) for task in tasks},
        }

    def dev(self, folder: RunFolder, run_id: str, task: TaskName) -> dict[str, Any]:
        try:
            predictions = folder.predictions("dev", task)
        except RunError as error:
            return {"error": without_paths(str(error), self.root)}
        self.predictions.setdefault(run_id, {})[task] = predictions
        return pack(predictions, whole=False) | {"rows": self.place(predictions)}

    def keep_whole(self, run_id: str) -> None:
        """Keep all outputs of a run, for a closer look at it."""
        for task, predictions in self.predictions.get(run_id, {}).items():
            self.runs[run_id]["dev"][task] |= pack(predictions, whole=True)

    def place(self, predictions: Predictions) -> str:
        """The key of the rows that predictions are of; runs that share rows share the key."""
        gold = None if predictions.gold is None else [float(value) for value in predictions.gold]
        rows = {"task": predictions.task, "ids": predictions.ids, "gold": gold}
        for key, known in self.rows.items():
            if known == rows:
                return key
        key = f"{predictions.task}-{sum(known['task'] == predictions.task for known in self.rows.values())}"
        self.rows[key] = rows
        return key

    def trimmed(self, record: Record) -> dict[str, Any]:
        """A record without what belongs to the machine alone, and without paths."""
        stored = record.as_json()
        environment = {key: getattr(record.environment, key) for key in (*MACHINE, "packages")}
        return {key: stored[key] for key in (*KEPT, "config")} | {"environment": environment}


def without_paths(words: str, root: Path) -> str:
    """Words, such as a reason, without the folder that the runs lay in."""
    for folder in (f"{root}{os.sep}", f"{root.resolve()}{os.sep}"):
        words = words.replace(folder, "")
    return _ABSOLUTE.sub(r"\1", words)


def short_names(places: Iterable[str]) -> dict[str, str]:
    """What stands for each folder among settings: its last part, or as many as tell it from the others.

    A name of the hub, or of what is built in, is no folder and stays.
    """
    folders = {
        place: Path(place).expanduser().resolve().parts
        for place in places
        if place[:1] in ("/", ".", "~")
    }
    for count in range(1, max(map(len, folders.values()), default=0) + 1):
        found = {place: "/".join(parts[-count:]) for place, parts in folders.items()}
        if len(set(found.values())) == len(set(folders.values())):
            return found
    return {}


def shortened(words: str, short: Mapping[str, str]) -> str:
    """Words with every folder by its short name, also inside names made of it; the longest first."""
    if words in short:
        return short[words]
    for place in sorted(short, key=len, reverse=True):
        words = words.replace(place, short[place]) if len(place) > 3 else words
    return words


def each_text(value: Any, change: Callable[[str], str]) -> Any:
    """The same plain data with every text in it, keys too, changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(key): each_text(item, change) for key, item in value.items()}
    return [each_text(item, change) for item in value] if isinstance(value, list | tuple) else value


def _plain_design(design: Design) -> dict[str, Any]:
    arms = []
    for arm in design.arms:
        config = arm.config.model_dump(mode="json")
        plain = {"name": arm.name, "cell": arm.cell, "config": config, "changes": dict(arm.changes)}
        arms.append(plain | {"levels": arm.levels, "merged": list(arm.merged)})
    combinations = [[list(levels), name] for levels, name in design.combinations.items()]
    factors = {factor: list(levels) for factor, levels in design.factors.items()}
    return {
        "arms": arms,
        "baseline": design.baseline,
        "factors": factors,
        "combinations": combinations,
    }


def _history(folder: RunFolder) -> list[dict[str, Any]]:
    """The evaluations of a run: step, epoch and the scores that count, of train and dev."""
    kept = {
        f"{split}/{key}"
        for split in ("train", "dev")
        for key in (*(t.metric_key for t in TASKS.values()), "overall")
    }
    found = []
    for line in folder.history():
        if "metrics" in line:
            scores = {key: value for key, value in line["metrics"].items() if key in kept}
            found.append({"step": line["step"], "epoch": line.get("epoch"), "metrics": scores})
    return found


def _opening(opening: Opening) -> dict[str, Any]:
    return {
        key: getattr(opening, key) for key in ("at", "data", "metrics", "undefined", "before_fresh")
    }
