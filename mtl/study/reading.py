"""Reads a study from YAML before anything trains.

All errors are reported at once, each with file, line and key.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from mtl.ablation.parts import (
    FolderName,
    Question,
    Seeds,
    base_part,
    settings_hint,
    settings_part,
)
from mtl.config.assignments import MAX_SEEDS
from mtl.config.presets import PRESETS
from mtl.config.settings import preset_layer
from mtl.documents.keys import Settings, flatten, merge
from mtl.documents.validation import Expected, FileModel, by_line, validated, wrong
from mtl.documents.yaml_file import YamlDocument
from mtl.errors import ConfigError, short, suggestion
from mtl.study.objectives import Objective, known_objectives
from mtl.study.parameters import check_keys_of_disabled_sections, read_space
from mtl.study.space import Parameter
from mtl.study.strategy import (
    DEFAULT_SAMPLER,
    PRUNERS,
    SAMPLERS,
    PrunerName,
    SamplerName,
    default_pruner,
    strategy_problems,
)

DEFAULT_TRIALS = 40
DEFAULT_FRESH = 3
MAX_TRIALS = 100_000


def _objectives(value: Any) -> tuple[Objective, ...]:
    """One metric, a list of them, or metric -> direction."""
    listed = [value] if isinstance(value, str) else value
    texts = isinstance(listed, list | dict) and all(isinstance(key, str) for key in listed)
    if not listed or not texts:
        raise wrong(
            f"expected a metric or a list of metrics, as in dev/overall, got {short(value)}."
        )
    known = known_objectives()
    directions = value if isinstance(value, dict) else {}
    problems = []
    for key in listed:
        if key not in known:
            near = suggestion(key, known)
            problems.append(f"no objective {short(key)}; there are {', '.join(known)}.{near}")
        elif directions and directions[key] not in ("maximize", "minimize"):
            came = short(directions[key])
            problems.append(f"{key}: expected maximize or minimize, got {came}.")
    if len(set(listed)) != len(listed):
        problems.append("a metric is named twice; keep one.")
    if problems:
        raise wrong(" ".join(problems))
    return tuple(Objective(key=key, direction=directions.get(key, known[key])) for key in listed)


class Budget(FileModel):
    """Limits of the whole study, over all its restarts."""

    trials: Annotated[int | None, Field(ge=1, le=MAX_TRIALS), Expected("a whole number from 1")] = (
        None
    )
    hours: Annotated[float | None, Field(gt=0), Expected("a number above 0")] = None


def _some_budget(value: Any) -> Any:
    if not isinstance(value, dict | Budget) or not value:
        raise ValueError("no limit")
    return value


class StudyFile(FileModel):
    """A study as written. A second step reads settings and parameters."""

    name: FolderName = None
    question: Question
    base: Annotated[str, Expected("a preset or a path")] = "baseline"
    set: Any = None
    space: Annotated[dict[str, Any], Field(min_length=1), Expected("parameters (key: values)")]
    objective: Annotated[Any, BeforeValidator(_objectives)] = (
        Objective(key="dev/overall", direction="maximize"),
    )
    sampler: Annotated[SamplerName, Expected(f"one of {', '.join(SAMPLERS)}", choices=SAMPLERS)] = (
        DEFAULT_SAMPLER
    )
    pruner: Annotated[
        PrunerName | None, Expected(f"one of {', '.join(PRUNERS)}", choices=PRUNERS)
    ] = None
    seeds: Seeds = (0,)
    fresh: Annotated[
        int,
        Field(ge=0, le=MAX_SEEDS),
        Expected("how many further seeds the best is run on, 0 or more"),
    ] = DEFAULT_FRESH
    budget: Annotated[
        Budget, BeforeValidator(_some_budget), Expected("{trials: 40}, {hours: 2} or both")
    ] = Budget(trials=DEFAULT_TRIALS)
    first: Annotated[
        list[str | dict[str, Any] | None],
        Expected(f"a list of presets ({', '.join(PRESETS)}) and settings"),
    ] = []


KEYS = tuple(StudyFile.model_fields)
_STAND_INS = {"question": "question", "space": {"limit": [1, 2]}}


def study_fields(document: YamlDocument, folder: Path, name: str) -> dict[str, Any]:
    """The fields of a `Study` but `written`; `name` is the default name.

    Raises ConfigError with every error, one per line.
    """
    file, problems = validated(StudyFile, [document], stand_ins=_STAND_INS, hint=settings_hint)
    base, below = base_part(document, file.base, folder, problems)
    settings = merge(below, settings_part(document, file.set, problems, "set"))
    space = read_space(document, file.space, problems)
    objectives = file.objective
    pruner = file.pruner or default_pruner(objectives)
    first = _first(document, file.first, problems)
    if not problems:
        start = merge(preset_layer(base).value, settings)
        check_keys_of_disabled_sections(document, space, problems)
        messages = _objective_problems(space, objectives, start)
        messages += strategy_problems(
            space, objectives, file.sampler, pruner, start, document.value
        )
        problems += [f"{document.where((key,))}: {key}: {message}" for key, message in messages]
    if problems:
        raise ConfigError("\n".join(by_line(problems)))
    return {
        "name": file.name or name,
        "question": file.question,
        "base": base,
        "settings": settings,
        "space": tuple(space),
        "objectives": objectives,
        "sampler": file.sampler,
        "pruner": pruner,
        "seeds": file.seeds,
        "fresh": file.fresh,
        "trials": file.budget.trials,
        "hours": file.budget.hours,
        "first": first,
        "source": document.source,
        "lines": document.lines,
    }


def _first(
    document: YamlDocument, entries: list[Any], problems: list[str]
) -> tuple[str | Settings, ...]:
    """The trials before the sampler's: presets, or settings over base and set."""
    trials: list[str | Settings] = []
    for entry in entries:
        if not isinstance(entry, str):
            trials.append(settings_part(document, entry, problems, "first"))
        elif entry in PRESETS:
            trials.append(entry)
        else:
            near = suggestion(entry, PRESETS)
            message = f"first: no preset {short(entry)}; there are {', '.join(PRESETS)}.{near}"
            problems.append(f"{document.where(('first',))}: {message}")
    return tuple(trials)


def _objective_problems(
    space: list[Parameter], objectives: tuple[Objective, ...], start: Settings
) -> list[tuple[str, str]]:
    """Objectives that some trials lack, or that are not comparable between trials."""
    problems: list[tuple[str, str]] = []
    tasks = [start["tasks"]] if start.get("tasks") else []
    for parameter in space:
        levels = map(flatten, parameter.levels.values())
        varied = [level["tasks"] for level in levels if "tasks" in level]
        tasks += varied
        if varied and any(objective.key == "dev/overall" for objective in objectives):
            message = (
                "tasks vary, so dev/overall is not the same mean in all trials; "
                "name a task's metric."
            )
            problems.append(("objective", message))
    for objective in objectives:
        task = objective.task()
        if task is not None and any(task not in chosen for chosen in tasks if chosen):
            problems.append(("objective", f"{objective.key}: not every trial trains {task}."))
    return problems
