"""`task_weights` as a setting: its spellings, refusals, grids, studies and citations."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mtl.ablation.definition import from_words
from mtl.ablation.design import expand
from mtl.config.schema import RunConfig
from mtl.config.settings import config_from
from mtl.config.task_weights import TaskWeights
from mtl.errors import ConfigError
from mtl.methods.registry import make_weighing
from mtl.methods.toggles import (
    TOGGLES,
    methods_of,
    sources_of,
    task_toggles,
    toggle_of,
    typed_config,
)
from mtl.methods.weighing import Fixed
from mtl.study.leave_one_out import leave_one_out
from tests.definition_tools import there_and_back
from tests.design_tools import cell, cell_of, define, plan
from tests.test_study_spaces import read

CPU = torch.device("cpu")


def test_a_word_a_mapping_and_a_dotted_key_are_one_config(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("task_weights: uncertainty\n")
    configs = [
        config_from(words)
        for words in (
            ["task_weights=uncertainty"],
            ["task_weights.rule=uncertainty"],
            ["task_weights={rule: uncertainty}"],
            [str(file)],
        )
    ]
    assert all(other == configs[0] for other in configs)
    assert RunConfig.model_validate(configs[0].model_dump()) == configs[0]
    assert configs[0].canonical()["task_weights"] == {"rule": "uncertainty"}


def test_the_dump_of_fixed_weights_is_what_it_was() -> None:
    heavy = config_from(["task_weights.quora=50"])
    assert heavy.model_dump()["task_weights"] == {"quora": 50}
    assert heavy.canonical()["task_weights"] == {"quora": 50}
    assert heavy == config_from(["task_weights={rule: fixed, quora: 50}"])
    plain = config_from(["task_weights=fixed"])
    assert "task_weights" not in plain.model_dump() and "task_weights" not in plain.canonical()


def test_a_word_replaces_a_files_weights_and_weights_a_files_word(tmp_path: Path) -> None:
    weights, rule = tmp_path / "weights.yaml", tmp_path / "rule.yaml"
    weights.write_text("task_weights: {sst: 2}\n")
    rule.write_text("task_weights: dwa\n")
    assert config_from([str(weights), "task_weights=dwa"]) == config_from(["task_weights=dwa"])
    assert config_from([str(rule), "task_weights.sst=2"]) == config_from(["task_weights.sst=2"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["task_weights=uncertanty"], "expected fixed, uncertainty, dwa, or weights by task, got"),
        (["task_weights=uncertanty"], "Did you mean 'uncertainty'?"),
        (["task_weights=3"], "or weights by task, got 3"),
        (["task_weights.rule=2"], "a task called rule cannot have a weight), got 2"),
        (["task_weights={rule: dwa, sst: 2}"], "finds the weights, so task_weights.sst would have"),
        (["task_weights={rule: dwa, sst: 2}"], "use task_weights.rule=fixed"),
        (["task_weights=dwa", "task_weights.sst=2"], "sets all of task_weights"),
        (["task_weights=dwa", "train.epochs=2"], "Use train.epochs=3 or more"),
        (["train.task_weights_lr=0"], "greater than 0"),
    ],
)  # fmt: skip
def test_a_contradiction_is_refused_with_the_way_out(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_from(words)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tasks=sst", "task_weights=uncertainty"], "tasks=sst is one task"),
        (["tasks=sst", "task_weights.rule=dwa"], "tasks=sst is one task"),
        (["train.task_weights_lr=0.1"], "only task_weights=uncertainty learns weights"),
        (["task_weights=dwa", "train.task_weights_lr=0.1"], "only task_weights=uncertainty"),
    ],
)
def test_a_rule_without_effect_is_an_error_on_a_command_line(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match="has no effect") as caught:
        typed_config(words)
    assert said in str(caught.value)


def test_one_task_has_no_rule() -> None:
    words = ["tasks=sst", "task_weights=uncertainty", "train.task_weights_lr=0.1"]
    chosen = config_from(words)
    assert chosen.canonical() == config_from(["tasks=sst"]).canonical()
    assert isinstance(make_weighing(chosen, 1, CPU), Fixed)
    assert config_from(["tasks=sst", "task_weights=dwa", "train.epochs=1"]).problems() == []


def test_a_task_called_rule_trains_and_has_no_weight(tmp_path: Path) -> None:
    file = tmp_path / "rule.yaml"
    file.write_text(
        "{task: rule, task_type: regression, text: text, label: y, range: [0, 5], metric: rmse}"
    )
    chosen = config_from([f"tasks=sst,{file}", "task_weights.sst=2"])
    assert chosen.tasks == ("sst", "rule")
    assert chosen.resolved().task_weights == TaskWeights.model_validate({"sst": 2})
    with pytest.raises(ConfigError, match="a task called rule cannot have a weight"):
        config_from([f"tasks=sst,{file}", "task_weights.rule=2.0"])
    assert len({toggle.key for toggle in task_toggles()}) == len(task_toggles())
    assert toggle_of("task_weights.rule") in TOGGLES


def test_a_rule_is_cited_and_is_no_published_baseline() -> None:
    for rule, venue in (("uncertainty", "CVPR 2018"), ("dwa", "CVPR 2019")):
        chosen = config_from([f"task_weights={rule}"])
        assert any(venue in source.text for source in sources_of([chosen]))
        assert methods_of(chosen) != methods_of(RunConfig())
    toggle = toggle_of("task_weights.rule")
    assert toggle is not None and toggle.neutral == "fixed"


def test_rules_are_levels_of_a_grid(tmp_path: Path) -> None:
    text = "grid: {task_weights: [fixed, uncertainty, dwa]}\n"
    design = plan(tmp_path, text)
    assert {arm.levels["task_weights"] for arm in design.arms} == {"fixed", "uncertainty", "dwa"}
    assert {arm.cell for arm in design.arms} == {
        cell(), cell("task_weights=uncertainty"), cell("task_weights=dwa")
    }  # fmt: skip
    changes = {arm.levels["task_weights"]: arm.changes for arm in design.arms}
    assert changes["dwa"] == {"task_weights.rule": "dwa"}
    definition = define(tmp_path, text)
    assert there_and_back(definition, tmp_path).grid == definition.grid
    written = from_words(["task_weights=fixed,uncertainty,dwa"])
    assert list(written.grid["task_weights"]) == ["fixed", "uncertainty", "dwa"]


def test_an_arm_tells_that_it_drops_the_baselines_weights(tmp_path: Path) -> None:
    design = plan(
        tmp_path,
        "baseline: heavy\n"
        "arms: {heavy: {task_weights.sst: 2}, learned: {task_weights: dwa}, plain: {limit: 9}}\n",
    )
    changes = {arm.name: arm.changes for arm in design.arms}
    assert changes["learned"] == {"task_weights.sst": 1.0, "task_weights.rule": "dwa"}
    assert changes["plain"] == {"task_weights.sst": 1.0, "limit": 9}
    assert changes["heavy"] == {}


def test_a_studys_best_trial_is_taken_apart_by_its_rule() -> None:
    study = read("  task_weights: [fixed, uncertainty, dwa]\n  train.lr: {float: [1e-6, 1e-3]}\n")
    grid = leave_one_out(study, {"task_weights": "dwa", "train.lr": 2e-4}, [1])
    assert list(grid.grid["task_weights"]) == ["fixed", "dwa"]
    arms = {arm.name: arm for arm in expand(grid, cell_of).arms}
    assert arms["without task_weights"].cell == cell("train.lr=2e-4")
