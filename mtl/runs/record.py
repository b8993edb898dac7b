"""The record of a run, `record.json`: what it computed, its scores, its cost and its environment.

A record is frozen. A value that is not known is None. A record keeps the keys that it was read
with: a newer version's additional keys stay, and a key that was not there is not written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from mtl.errors import ConfigError, RunError, short
from mtl.runs.definitions import shipped_but, tasks_in
from mtl.runs.diagnostics import Diagnostics
from mtl.runs.stored import Count, Stored
from mtl.tasks.registry import TASKS
from mtl.tasks.task import Task
from mtl.tracking.outcome import TrackingOutcome

SCHEMA: Final = 2
"""Schema 2 has `tasks`."""
OPENINGS_SCHEMA: Final = 1
Status = Literal["done", "failed", "diverged", "interrupted"]
Metrics = dict[str, float | None]
"""Scores by path, `dev/sts/pearson`. None where a score is undefined."""
REMEDY = "Remove it and run again."


def check_schema(newest: int) -> BeforeValidator:
    """Checks the number of a file's schema: from 1 to `newest`."""

    def check(value: object) -> object:
        if type(value) is int and value > newest:
            raise ValueError(f"{value} was written by a newer version of mtl; update mtl")
        if type(value) is not int or value < 1:
            raise ValueError(f"expected {newest}, got {short(value)}")
        return value

    return BeforeValidator(check)


def check_config(config: dict[str, Any]) -> dict[str, Any]:
    """The settings of a record, which every reader may use. Raises ValueError."""
    for key in ("encoder", "data", "overall"):
        if not isinstance(config.get(key), str):
            raise ValueError(f"expected a text as {key!r}")
    tasks = config.get("tasks")
    if not isinstance(tasks, list) or not tasks or any(type(task) is not str for task in tasks):
        raise ValueError("expected names of tasks as 'tasks'")
    if not isinstance(config.get("train"), dict):
        raise ValueError("expected settings as 'train'")
    return config


class Throughput(Stored):
    """Training speed. Evaluation does not count."""

    examples_per_second: float | None
    tokens_per_second: float | None


class Work(BaseModel):
    """The part of the diagnostics that says how much a run did."""

    model_config = ConfigDict(frozen=True, strict=True)

    examples: Count | None = None


class Data(Stored):
    """The data of a run. Parts are named `train/sst`."""

    fingerprint: str | None = None
    """Of the train and dev parts together."""
    parts: dict[str, str] = {}
    """Fingerprint of each part."""
    rows: dict[str, Count] = {}
    """Rows of each part, before `limit`."""
    trained_on: dict[str, Count] = {}
    """Training rows in use, by task."""
    skipped: dict[str, Count] = {}
    """Bad rows that were left out, by part."""


class EncoderPart(Stored):
    """How the encoder was computed."""

    path: str
    """`packed`, or `transformers`."""
    family: str
    """Its `model_type`."""
    drawn: list[str] = []
    """Parts that the weights lack, drawn from the run's seed."""
    transformers: str | None = None
    """Its version, where it computed the encoder."""


class Environment(Stored):
    """Versions, machine and threads."""

    python: str | None = None
    packages: dict[str, str | None] = {}
    numerics: Count | None = None
    platform: str | None = None
    processor: str | None = None
    cores: Count | None = None
    threads: Count | None = None
    products: str | None = None
    """The library that computes matrix products: `onednn` or `torch`."""
    device: str | None = None
    cuda: str | None = None


class Record(Stored):
    """The result of one run.

    Example:
        >>> import mtl
        >>> record = mtl.train(mtl.config_from(["data=sample", "limit=20"]))  # doctest: +SKIP
        >>> record.status, record.metrics["dev/overall"]  # doctest: +SKIP
        ('done', 0.53)
    """

    schema_version: Annotated[int, check_schema(SCHEMA)] = Field(default=SCHEMA, alias="schema")
    run_id: str
    cell: str
    seed: Count
    status: Status
    config: Annotated[dict[str, Any], AfterValidator(check_config)]
    """The settings as they were written. Another version may have other settings."""
    tasks: dict[str, Any] = {}
    """The definitions that the run was scored with, by task; those as shipped are left out."""
    metrics: Metrics
    """Scores of the selected checkpoint."""
    undefined: dict[str, str]
    """Why a metric is None."""
    cross_fitted: Metrics | None = None
    """Dev scores that verdicts use: the checkpoint of each half of dev is chosen on the other half
    (`mtl.runs.halves`). None where nothing was selected, or by an earlier version."""
    cross_fitted_steps: dict[str, Count] | None = None
    """The step that was chosen on each half, 0 and 1, for the other."""
    last: Metrics | None = None
    """Dev scores of the last evaluation."""
    best_step: Count | None
    """The step of the selected checkpoint."""
    steps: Count | None
    seconds: Annotated[float, Field(ge=0)] | None
    throughput: Throughput
    peak_memory: Count | None
    """In bytes."""
    diagnostics: Diagnostics
    frozen_unchanged: bool | None
    """Whether the frozen weights kept their bytes. None where nothing is frozen."""
    data: Data
    environment: Environment = Environment()
    encoder: EncoderPart | None = None
    """None by an earlier version."""
    error: str | None = None
    """The traceback, the cause of divergence, or the signal."""
    ended: str | None = None
    """UTC, ISO 8601."""
    wandb: TrackingOutcome | None = None
    files: dict[str, str] | None = None
    """The sha256 of each file of the run, by its path in the run's folder. Those of test are in
    the openings. None by an earlier version."""

    @model_validator(mode="after")
    def _know_tasks(self) -> Self:
        """Make the run's tasks known where no other tasks have their names."""
        try:
            TASKS.know(self.definitions())
        except ConfigError as error:
            raise ValueError(str(error)) from None
        if unknown := [task for task in self.config["tasks"] if task not in TASKS]:
            raise ValueError(f"the definition of {', '.join(unknown)} is missing")
        return self

    def definitions(self) -> tuple[Task, ...]:
        """The tasks that the run was scored with; those that are not kept are as shipped."""
        return (*tasks_in(self.tasks, "tasks"), *shipped_but(self.tasks, self.config["tasks"]))

    def as_json(self) -> dict[str, Any]:
        """The content of `record.json`."""
        return {"schema": self.schema_version} | super().as_json()


class Opening(Stored):
    """One opening of the test split."""

    at: str
    """UTC, ISO 8601."""
    data: str | None = None
    """Fingerprint of the test rows."""
    metrics: Metrics = {}
    """Empty while the opening has not ended."""
    undefined: dict[str, str] = {}
    before_fresh: bool | None = None
    """True for a model that `--fresh` removed: the opening counts, its scores do not."""
    files: dict[str, str] | None = None
    """The sha256 of each file of predictions. None before its end, or by an earlier version."""


class Spent(BaseModel):
    """The parts of a record that say what a run cost. They are read three times faster."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)

    status: Status
    config: Annotated[dict[str, Any], AfterValidator(check_config)]
    seconds: Annotated[float, Field(ge=0)] | None
    diagnostics: Work


class Openings(Stored):
    """The content of `test.json`."""

    model_config = ConfigDict(extra="forbid")

    schema_version: Annotated[int, check_schema(OPENINGS_SCHEMA)] = Field(
        default=OPENINGS_SCHEMA, alias="schema"
    )
    openings: list[Opening]


class Evaluation(Stored):
    """The line of an evaluation in `metrics.jsonl`."""

    step: Count
    epoch: float | None = None
    metrics: Metrics


def parse_record(path: Path, stored: dict[str, Any]) -> Record:
    """The record in a file's content. Raises RunError naming the file, the keys and the remedy."""
    try:
        return Record.model_validate(stored)
    except ValidationError as error:
        raise damaged(path, error) from None


def damaged(path: Path, error: ValidationError, remedy: str = REMEDY) -> RunError:
    """The error for a file of a run that does not fit its model."""
    problem = problem_of(error)
    if problem.startswith("schema: "):
        return RunError(f"{path}: {problem}.")
    return RunError(f"{path}: damaged: {problem}. {remedy}")


def problem_of(error: ValidationError) -> str:
    """What is wrong, in words: the schema first, then keys that are missing."""
    details = error.errors(include_url=False, include_input=False)
    schema = [detail for detail in details if detail["loc"] == ("schema",)]
    missing = [_dotted(detail["loc"]) for detail in details if detail["type"] == "missing"]
    if missing and not schema:
        return f"lacks {', '.join(missing)}"
    first = (schema or details)[0]
    return f"{_dotted(first['loc'])}: {first['msg'].removeprefix('Value error, ')}"


def _dotted(location: tuple[int | str, ...]) -> str:
    return ".".join(map(str, location))
