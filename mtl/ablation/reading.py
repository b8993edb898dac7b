"""Reads an ablation's definition from YAML.

All errors are reported at once, each with file, line and key.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field

from mtl.ablation.claims import read_claims
from mtl.ablation.margins import DEFAULT_MARGIN, ScoreName
from mtl.ablation.parts import (
    FolderName,
    Question,
    Seeds,
    base_part,
    check_label,
    check_own_name,
    fail,
    named_levels,
    settings_hint,
    settings_part,
    value_levels,
)
from mtl.ablation.where import compile_where
from mtl.config.assignments import DEFAULT_SEEDS, level_name
from mtl.config.key_kinds import config_keys, own_factors
from mtl.documents.keys import Settings, merge
from mtl.documents.validation import Expected, FileModel, Problem, by_line, validated
from mtl.documents.yaml_file import YamlDocument
from mtl.errors import ConfigError, short, suggestion

DesignName = Literal["full", "one-at-a-time", "leave-one-out", "pairwise"]
DESIGNS: tuple[DesignName, ...] = get_args(DesignName)


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else [] if value is None else value


Difference = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Mappings = Annotated[dict[str, Any], Field(min_length=1)]


class DefinitionFile(FileModel):
    """A definition as written. A second step reads settings, levels, conditions and claims."""

    name: FolderName = None
    question: Question
    base: Annotated[str, Expected("a preset or a path")] = "baseline"
    set: Any = None
    seeds: Seeds = DEFAULT_SEEDS
    arms: Annotated[Mappings, Expected("arms (name: settings)")] = {}
    grid: Annotated[Mappings, Expected("factors (key: [value, value])")] = {}
    design: Annotated[DesignName, Expected(f"one of {', '.join(DESIGNS)}", choices=DESIGNS)] = (
        "full"
    )
    where: Annotated[
        list[str], BeforeValidator(_as_list), Expected("a list of conditions in quotes")
    ] = []
    baseline: Annotated[
        Annotated[str, Field(min_length=1)] | Mappings | None,
        Expected("an arm's name, or {factor: level}"),
    ] = None
    margin: Annotated[
        Difference | Annotated[dict[ScoreName, Difference], Field(min_length=1)],
        Expected("a difference of scores, 0 or more, or one for each score, as {sts: 0.03}"),
    ] = DEFAULT_MARGIN
    delta: Annotated[
        dict[str, Annotated[str, Field(min_length=1)]],
        Expected("the arm that trains each task alone, as {sst: sst alone, quora: quora alone}"),
    ] = {}
    claims: Any = None

    def problems(self) -> list[Problem]:
        """A definition without arms and grid, or a design without factors."""
        problems = []
        if not self.arms and not self.grid:
            message = "expected arms or a grid: there is nothing to compare."
            problems.append(Problem(uses=("arms", "grid"), message=message))
        elif self.design != "full" and not self.grid:
            message = (
                f"design: {self.design} has no effect without a grid; add factors or leave it out."
            )
            problems.append(Problem(uses=("design", "grid"), message=message))
        return problems


KEYS = tuple(DefinitionFile.model_fields)


def definition_fields(
    document: YamlDocument, folder: Path, name: str, problems: list[str]
) -> dict[str, Any]:
    """The fields of a `Definition`.

    `name` is the default for a file without one, `problems` are earlier errors.

    Raises ConfigError with every error, one per line.
    """
    file, errors = validated(
        DefinitionFile, [document], stand_ins={"question": "question"}, hint=settings_hint
    )
    problems += errors
    base, below = base_part(document, file.base, folder, problems)
    settings = merge(below, settings_part(document, file.set, problems, "set"))
    for arm in file.arms:
        check_label(document, "an arm", problems, "arms", arm)
    arms = {
        arm: settings_part(document, value, problems, "arms", arm)
        for arm, value in file.arms.items()
    }
    grid = {
        factor: _levels(document, factor, value, problems) for factor, value in file.grid.items()
    }
    _check_conditions(document, file.where, own_factors(grid), problems)
    claims, errors = read_claims(document.part(file.claims or [], "claims"))
    problems += errors
    if problems:
        raise ConfigError("\n".join(by_line(problems)))
    return {
        "name": file.name or name,
        "question": file.question,
        "base": base,
        "settings": settings,
        "seeds": file.seeds,
        "arms": arms,
        "grid": grid,
        "design": file.design,
        "where": tuple(file.where),
        "baseline": _baseline(file.baseline),
        "margin": file.margin,
        "delta": file.delta,
        "claims": claims,
        "source": document.source,
        "lines": document.lines,
    }


def _levels(
    document: YamlDocument, factor: str, value: Any, problems: list[str]
) -> dict[str, Settings]:
    """The levels of a factor: the values of a config key, or named settings."""
    place, keys = ("grid", factor), config_keys()
    message = ""
    if factor == "seed":
        message = "seeds are no factor: every arm runs with all of `seeds: [0, 1, 2]`."
    elif isinstance(value, dict):
        if factor in keys:
            message = "is a config key and takes a list of values; named levels need another name."
            fail(document, problems, message, *place)
        else:
            check_own_name(document, problems, *place)
        return named_levels(document, value, problems, *place)
    elif factor not in keys:
        hint = " A factor of your own has named levels: {low: {train.lr: 1e-5}, high: ...}."
        message = f"no config key.{suggestion(factor, keys) or hint}"
    elif not isinstance(value, list):
        message = f"expected a list of values, got {short(value)}."
    else:
        return value_levels(document, factor, value, problems, *place)
    fail(document, problems, message, *place)
    return {}


def _check_conditions(
    document: YamlDocument,
    conditions: list[str],
    own: Mapping[str, tuple[str, ...]],
    problems: list[str],
) -> None:
    for number, text in enumerate(conditions):
        try:
            compile_where(text, own)
        except ConfigError as error:
            problems.append(f"{document.where(('where', number))}: where: {error}")


def _baseline(value: str | dict[str, Any] | None) -> str | dict[str, str] | None:
    if isinstance(value, dict):
        return {factor: level_name(level) for factor, level in value.items()}
    return value
