"""Identity: what computes the same has one cell, and every setting that matters gives another."""

from __future__ import annotations

import re
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from mtl.config.by_task import TASK_DEFAULTS
from mtl.config.identity import cell, run_id
from mtl.config.lora import Lora
from mtl.config.losses import Losses
from mtl.config.schema import RunConfig
from mtl.config.sections import OPTIONAL, Freeze, Heads, Schedule, Smart, Train
from mtl.config.settings import config_from
from mtl.config.simcse import SimCSE
from mtl.config.surgeries import Surgery
from mtl.config.task_weights import TaskWeights
from mtl.tasks.registry import TASKS, course_names

DATA, ENCODER = "0123456789abcdef", "fedcba9876543210"


def cell_of(*words: str, data: str = DATA, encoder: str = ENCODER) -> str:
    return cell(config_from(list(words)), data=data, encoder=encoder)


# --- the name


def test_a_cell_is_12_hex_digits_and_a_run_adds_its_seed() -> None:
    assert re.fullmatch("[0-9a-f]{12}", cell_of())
    assert run_id("0123456789ab", 7) == "0123456789ab-s7"


GOLDEN = {"baseline": "7f5c05e6465e", "final": "436f2be06396", "concat": "1a49c2b4f85e"}


@pytest.mark.parametrize("preset", list(GOLDEN))
def test_the_cells_of_the_presets_do_not_change_by_accident(preset: str) -> None:
    # Other cells orphan every run that people have. Where that is meant, write the new ones here.
    assert cell_of(preset) == GOLDEN[preset]


# --- what does not enter


@pytest.mark.parametrize(
    ("words", "same"),
    [
        ([], ["seed=5"]),
        ([], ["heads.quora=dot"]),
        ([], ["heads.sts=dot"]),
        ([], ["heads.sst=mlp", "heads.quora=dot", "heads.sts=dot"]),
        (["final"], ["final", "heads.sts=cosine"]),
        (["concat"], ["concat", "heads.quora=linear", "heads.sts=same"]),
        ([], ["tasks=sts,sst,quora"]),
        (["tasks=sst,sts"], ["tasks=[sts, sst]"]),
        ([], ["limit=null"]),
        ([], ["train.weight_decay=-0.0"]),
        ([], ["train.dropout=1e-1"]),
    ],
)
def test_two_spellings_of_one_run_are_one_cell(words: list[str], same: list[str]) -> None:
    assert cell_of(*words) == cell_of(*same)


@pytest.mark.parametrize(
    ("words", "same"),
    [
        ([], ["freeze.scope=sts"]),
        ([], ["freeze.dropout=true"]),
        ([], ["freeze.scope=sst,quora", "freeze.dropout=true"]),
        ([], ["freeze.states=fp16"]),
        (["final"], ["final", "freeze.states=fp32"]),
        (["freeze.unfrozen=3"], ["freeze.unfrozen=3", "freeze.scope=sts,sst,quora"]),
        (
            ["freeze.unfrozen=3", "freeze.scope=sst,sts"],
            ["freeze.unfrozen=3", "freeze.scope=[sts, sst]"],
        ),
        (
            ["freeze.unfrozen=3", "tasks=sts"],
            ["freeze.unfrozen=3", "tasks=sts", "freeze.scope=sts"],
        ),
        (["final", "train.dropout=0"], ["final", "train.dropout=0", "freeze.dropout=true"]),
    ],
)
def test_knobs_of_freezing_that_freeze_nothing_else_disappear(
    words: list[str], same: list[str]
) -> None:
    assert cell_of(*words) == cell_of(*same)


@pytest.mark.parametrize(
    ("words", "same"),
    [
        (["tasks=sst"], ["tasks=sst", "heads.quora=features"]),
        (["tasks=sst"], ["tasks=sst", "heads.sts=cosine"]),
        (["tasks=quora"], ["tasks=quora", "heads.sst=linear", "heads.sts=features"]),
        (
            ["tasks=sts", "heads.sts=cosine"],
            ["tasks=sts", "heads.sts=cosine", "heads.quora=features"],
        ),
        (
            ["tasks=sts", "heads.sts=features"],
            ["tasks=sts", "heads.sts=same", "heads.quora=features"],
        ),
        (["tasks=sst,quora"], ["tasks=sst,quora", "heads.sts=auto"]),
    ],
)
def test_heads_of_absent_tasks_do_not_enter(words: list[str], same: list[str]) -> None:
    assert cell_of(*words) == cell_of(*same)


def test_what_is_hashed_has_the_heads_of_the_runs_tasks_only() -> None:
    assert config_from(["tasks=sts,sst"]).canonical()["heads"] == {"sst": "mlp", "sts": "dot"}


@pytest.mark.parametrize("task", list(TASKS))
@pytest.mark.parametrize("schedule", get_args(Schedule))
def test_a_single_task_makes_the_schedule_irrelevant(task: str, schedule: str) -> None:
    assert cell_of(f"tasks={task}") == cell_of(f"tasks={task}", f"schedule={schedule}")


@pytest.mark.parametrize("base", [[], ["schedule=consolidated"]])
def test_every_schedule_and_every_surgery_has_a_cell_of_its_own(base: list[str]) -> None:
    key, words = ("surgery", get_args(Surgery)) if base else ("schedule", get_args(Schedule))
    assert len({cell_of(*base, f"{key}={word}") for word in words}) == len(words)


def test_without_a_pair_task_the_pairing_is_irrelevant() -> None:
    assert cell_of("tasks=sst") == cell_of("tasks=sst", "pairing=concat")
    assert cell_of("tasks=sts", "heads.sts=auto") != cell_of(
        "tasks=sts", "heads.sts=auto", "pairing=concat"
    )


def test_without_sts_the_rule_of_overall_is_irrelevant() -> None:
    assert cell_of("tasks=sst,quora") == cell_of("tasks=sst,quora", "overall=shifted")
    assert cell_of("tasks=sts") != cell_of("tasks=sts", "overall=shifted")


def test_where_files_lie_does_not_enter_but_their_content_does() -> None:
    assert (
        cell_of("data=./here", "encoder=./this")
        == cell_of("data=/there", "encoder=other/name")
        == cell_of()
    )
    assert (
        len(
            {
                cell_of(),
                cell_of(data="1" * 16),
                cell_of(encoder="1" * 16),
                cell_of(data=ENCODER, encoder=DATA),
            }
        )
        == 4
    )


def test_the_seed_enters_the_run_but_not_the_cell() -> None:
    assert "seed" not in RunConfig(seed=3).canonical()
    assert len({cell_of("final", f"seed={seed}") for seed in range(5)}) == 1


@pytest.mark.parametrize(
    ("words", "same"),
    [
        ([], ["smart=null"]),
        ([], ["smart.lambda_s=0", "smart.mu=0", "smart.epsilon=1e-3"]),
        ([], ["smart.lambda_s=-0.0", "smart.mu=0"]),
        (["smart={}"], ["smart={lambda_s: 1, mu: 1.0, beta: [0.99, 0.999]}"]),
        (["smart.mu=0"], ["smart.mu=-0.0", "smart.beta=0.5"]),
        (
            ["smart.lambda_s=0"],
            ["smart={lambda_s: 0, epsilon: 1, sigma: 1, eta: 1, steps: 9, dropout: true}"],
        ),
        (["smart.lambda_s=0"], ["smart={lambda_s: 0, projection: normalise}"]),
        (["smart.projection=normalise"], ["smart.projection=normalise", "smart.epsilon=3"]),
        (["smart.steps=0"], ["smart.steps=0", "smart.eta=3"]),
        (["smart.beta=0.9"], ["smart.beta=[0.9, 0.9]"]),
        (["smart={}", "train.dropout=0"], ["smart.dropout=true", "train.dropout=0"]),
    ],
)
def test_knobs_of_smart_that_do_nothing_disappear(words: list[str], same: list[str]) -> None:
    assert cell_of(*words) == cell_of(*same)


# --- what does enter

CHANGES = {
    "tasks": "tasks=sst,sts",
    "limit": "limit=100",
    "max_length": "max_length=64",
    "pairing": "pairing=concat",
    "pooling": "pooling=mean",
    "heads.sst": "heads.sst=linear",
    "heads.quora": "heads.quora=features",
    "heads.sts": "heads.sts=features",
    "task_weights.sst": "task_weights.sst=2",
    "task_weights.quora": "task_weights.quora=2",
    "task_weights.sts": "task_weights.sts=2",
    "task_weights.rule": "task_weights.rule=dwa",
    "losses.sst": "losses.sst=focal",
    "losses.quora": "losses.quora=label_smoothing",
    "losses.sts": "losses.sts=cosent",
    "losses.smoothing": "losses.smoothing=0.2",
    "losses.gamma": "losses.gamma=1",
    "losses.scale": "losses.scale=10",
    "schedule": "schedule=consolidated",
    "surgery": "surgery=dominant",
    "freeze.unfrozen": "freeze.unfrozen=2",
    "freeze.scope": "freeze.scope=sts",
    "freeze.thaw": "freeze.thaw=1",
    "freeze.dropout": "freeze.dropout=true",
    "freeze.states": "freeze.states=fp16",
    "smart": "smart={}",
    "smart.lambda_s": "smart.lambda_s=3",
    "smart.mu": "smart.mu=0",
    "smart.epsilon": "smart.epsilon=1e-4",
    "smart.sigma": "smart.sigma=1e-4",
    "smart.eta": "smart.eta=1e-2",
    "smart.steps": "smart.steps=2",
    "smart.projection": "smart.projection=normalise",
    "smart.dropout": "smart.dropout=true",
    "smart.beta": "smart.beta=0.999",
    "rdrop": "rdrop=0.5",
    "lora": "lora={}",
    "lora.rank": "lora.rank=4",
    "lora.alpha": "lora.alpha=8",
    "lora.targets": "lora.targets=all",
    "simcse": "simcse={}",
    "simcse.steps": "simcse.steps=10",
    "simcse.batch_size": "simcse.batch_size=8",
    "simcse.lr": "simcse.lr=1e-4",
    "simcse.scale": "simcse.scale=10",
    "train.epochs": "train.epochs=4",
    "train.max_steps": "train.max_steps=100",
    "train.max_examples": "train.max_examples=1000",
    "train.batch_size": "train.batch_size=32",
    "train.accumulate": "train.accumulate=2",
    "train.lr": "train.lr=3e-5",
    "train.head_lr": "train.head_lr=1e-3",
    "train.layer_decay": "train.layer_decay=0.9",
    "train.ema": "train.ema=0.9",
    "train.task_weights_lr": "train.task_weights_lr=0.1",
    "train.weight_decay": "train.weight_decay=0.01",
    "train.warmup": "train.warmup=0.1",
    "train.decay": "train.decay=linear",
    "train.dropout": "train.dropout=0.2",
    "train.max_grad_norm": "train.max_grad_norm=null",
    "train.precision": "train.precision=bf16",
    "train.select": "train.select=last",
    "overall": "overall=shifted",
}
ELSEWHERE = {"seed", "data", "encoder"}
NEEDS = {
    "freeze.scope": "final",
    "freeze.thaw": "final",
    "freeze.dropout": "final",
    "freeze.states": "final",
    "losses.smoothing": "losses.quora=label_smoothing",
    "losses.gamma": "losses.sst=focal",
    "losses.scale": "losses.sts=cosent",
    "surgery": "schedule=consolidated",
    "train.task_weights_lr": "task_weights=uncertainty",
}
"""What else has to be set for a setting to matter."""


def settings_of(model: type[BaseModel], prefix: str = "") -> list[str]:
    """The dotted paths of all settings that have more than one value."""
    found = []
    for name, field in model.model_fields.items():
        annotation: Any = field.annotation
        sections = [
            kind
            for kind in (annotation, *get_args(annotation))
            if kind in (Smart, Lora, SimCSE, Heads, TaskWeights, Losses, Freeze, Train)
        ]
        for section in sections:
            found += settings_of(section, f"{prefix}{name}.")
        if annotation in sections:
            continue
        if annotation is not type(None) and len(get_args(annotation)) != 1:
            found.append(f"{prefix}{name}")
    return found


def test_no_setting_is_forgotten_here() -> None:
    of_tasks = {f"{section}.{task}" for section in TASK_DEFAULTS for task in course_names()}
    assert set(settings_of(RunConfig)) | of_tasks == CHANGES.keys() | ELSEWHERE


@pytest.mark.parametrize("key", list(CHANGES))
def test_a_single_change_of_a_setting_changes_the_cell(key: str) -> None:
    section, dot, _ = key.partition(".")
    on = [f"{section}={{}}"] if dot and section in OPTIONAL else []
    base = [NEEDS[key]] if key in NEEDS else on
    assert cell_of(*base, CHANGES[key]) != cell_of(*base)


def test_every_single_change_gives_a_cell_of_its_own() -> None:
    needs = {
        key: [word for word in [NEEDS.get(key)] if word not in (None, "final")] for key in CHANGES
    }
    cells = {key: cell_of("final", *needs[key], change) for key, change in CHANGES.items()}
    assert len({*cells.values(), cell_of("final")}) == len(cells) + 1


@pytest.mark.parametrize(
    "words",
    [
        ["train.lr=1.0000000000000001e-5", "train.lr=1.0000000000000003e-5"],
        ["freeze.unfrozen=all", "freeze.unfrozen=6"],
        ["freeze.unfrozen=0", "freeze.unfrozen=1"],
        ["pooling=cls", "pooling=max"],
        ["tasks=quora", "tasks=sts"],
    ],
)
def test_values_that_lie_close_are_still_different_cells(words: list[str]) -> None:
    assert len({cell_of(word) for word in words}) == len(words)


@settings(max_examples=100, deadline=None)
@given(st.permutations(list(CHANGES.values())), st.integers(0, 6), st.integers(0, 100))
def test_equal_configs_have_equal_cells_however_they_were_written(
    changes: list[str], count: int, seed: int
) -> None:
    refused = ["tasks", "heads", "pairing", "surgery"]  # alone, or beside what else may be drawn
    if "freeze.states=fp16" in changes[:count]:
        refused += ["freeze.scope", "freeze.dropout", "smart"]
    if "rdrop=0.5" in changes[:count]:
        refused += ["smart"]
    if "freeze.thaw=1" in changes[:count]:
        refused += ["freeze.scope", "freeze.states", "lora"]
    if any(change.startswith("lora") for change in changes[:count]):
        refused += ["freeze.scope"]
    if "task_weights.rule=dwa" in changes[:count]:
        refused += [f"task_weights.{task}" for task in TASKS]
    if "train.accumulate=2" in changes[:count]:
        refused += ["losses.sts"]
    words = [change for change in changes[:count] if not change.startswith(tuple(refused))]
    one, other = config_from([*words, f"seed={seed}"]), config_from(list(reversed(words)))
    assert cell(one, data=DATA, encoder=ENCODER) == cell(other, data=DATA, encoder=ENCODER)
    assert cell(one.resolved(), data=DATA, encoder=ENCODER) == cell(one, data=DATA, encoder=ENCODER)
