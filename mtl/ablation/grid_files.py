"""Reads and writes `grid.json` and `results.json`, and reads what earlier versions wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from mtl.ablation.definition import read_definition
from mtl.ablation.design import expand
from mtl.ablation.evidence import FolderRuns, Runs, seeds_with_scores
from mtl.ablation.grid_design import SCHEMA, GridDesign, grid_design
from mtl.ablation.history import History
from mtl.ablation.results import Results
from mtl.config import identity
from mtl.config.schema import RunConfig
from mtl.errors import RunError
from mtl.files import write_json

DESIGN_FILE = "grid.json"
RESULTS_FILE = "results.json"


class _RunsOfSchema1(BaseModel):
    """What `grid.json` of schema 1 holds: arm -> seed -> run id."""

    runs: dict[str, Annotated[dict[int, str], Field(min_length=1)]]


def write_grid_design(design: GridDesign, folder: Path) -> None:
    """Write `grid.json` in the folder of a grid."""
    write_json(folder / DESIGN_FILE, design.as_json())


def write_results(results: Results, folder: Path) -> bool:
    """Write `results.json` in the folder of a grid. Returns whether it has changed."""
    path, plain = folder / RESULTS_FILE, results.as_json()
    try:
        before = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        before = None
    if before == plain:
        return False
    write_json(path, plain)
    return True


def read_grid_design(folder: Path) -> GridDesign:
    """The design in the folder of a grid. Raises RunError where it is missing or damaged."""
    path = folder / DESIGN_FILE
    remedy = f"`mtl ablate --grid {folder.name}` writes it again"
    try:
        plain = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: {error}. {remedy}.") from None
    schema = plain.get("schema") if isinstance(plain, dict) else None
    if schema == 1:
        return _design_of_schema_1(folder, plain)
    if schema == 2:
        plain = of_schema_2(plain)
    elif schema != SCHEMA:
        raise RunError(f"{path}: expected schema {SCHEMA}, got {schema!r}; {remedy}.")
    try:
        return GridDesign.model_validate(plain)
    except ValidationError as error:
        raise RunError(f"{path}: {_damage(error)}; {remedy}.") from None


def with_look(design: GridDesign, runs: Runs) -> GridDesign:
    """The design, with a look at the runs that are there if no earlier look had the same seeds."""
    history = design.history.with_look(seeds_with_scores(design, runs))
    return design.model_copy(update={"history": history})


def keep_look(folder: Path, runs: Path) -> None:
    """Keep in the folder of a grid that its runs are looked at now."""
    design = read_grid_design(folder)
    looked = with_look(design, FolderRuns(runs))
    if looked != design:
        write_grid_design(looked, folder)


def read_history(folder: Path) -> History:
    """The history of a grid; an empty one for a folder without, or before it was kept.

    Raises RunError where the file is damaged: a history is not made up again.
    """
    path = folder / DESIGN_FILE
    try:
        plain = json.loads(path.read_text("utf-8"))
        return History.model_validate(plain["history"]) if plain["schema"] == SCHEMA else History()
    except FileNotFoundError:
        return History()
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = _damage(error) if isinstance(error, ValidationError) else error
        raise RunError(
            f"{path}: damaged: {reason}. It keeps when this grid was planned and judged. Bring it "
            "back from a copy, or remove it: the grid then begins a new history."
        ) from None


def of_schema_2(plain: Mapping[str, Any]) -> dict[str, Any]:
    """A design of schema 2, which kept no history, as one of schema 3."""
    return {key: value for key, value in plain.items() if key != "looks"} | {"schema": SCHEMA}


def _damage(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"damaged at {'.'.join(map(str, first['loc']))}: {first['msg']}"


def _design_of_schema_1(folder: Path, plain: Mapping[str, Any]) -> GridDesign:
    """The design of a grid whose `grid.json` is `{schema, looks, runs: arm -> seed -> run}`.

    The arms are expanded from `definition.yaml`, and their cells are those of the runs. Raises
    RunError where the two files do not belong together.
    """
    definition = read_definition(folder / "definition.yaml")
    remedy = f"Run `mtl ablate --grid {definition.name}` again."
    try:
        stored = _RunsOfSchema1.model_validate(plain)
    except ValidationError as error:
        raise RunError(f"{folder / DESIGN_FILE}: {_damage(error)}. {remedy}") from None
    design = expand(definition, _cell_without_data)
    if {arm.name for arm in design.arms} != set(stored.runs):
        raise RunError(f"{folder}: definition.yaml and {DESIGN_FILE} name different arms. {remedy}")
    cells = {
        arm: next(iter(run_ids.values())).rpartition("-s")[0]
        for arm, run_ids in stored.runs.items()
    }
    seeds = {arm: tuple(run_ids) for arm, run_ids in stored.runs.items()}
    arms = tuple(replace(arm, cell=cells[arm.name]) for arm in design.arms)
    return grid_design(definition, replace(design, arms=arms), seeds)


def _cell_without_data(config: RunConfig) -> str:
    """A cell that tells arms apart where the data is not at hand."""
    return identity.cell(config, data=config.data, encoder=config.encoder)
