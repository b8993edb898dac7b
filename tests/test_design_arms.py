"""Designs: baselines, arms that compute the same, `where`, and plans that are refused."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from mtl.ablation.definition import Definition, from_words
from mtl.ablation.design import expand
from mtl.ablation.factors import MAX_COMBINATIONS
from mtl.config.settings import build
from mtl.documents.yaml_file import YamlDocument, parse_yaml
from mtl.errors import ConfigError
from tests.design_tools import cell, cell_of, define, names, plan


def refusal(folder: Path, text: str) -> str:
    definition = define(folder, text)
    with pytest.raises(ConfigError) as error:
        expand(definition, cell_of)
    return str(error.value).replace(str(folder / "mine.yaml"), "mine.yaml")


# --- baselines


def test_baseline_without_an_arm_of_that_name_is_the_base_itself(tmp_path: Path) -> None:
    design = plan(tmp_path, "baseline: baseline\ngrid: {pooling: [cls, mean]}")
    assert names(design) == ["baseline", "reference", "pooling=mean"]
    assert design.arms[0].cell == cell()
    same = plan(tmp_path, "baseline: baseline\ngrid: {pooling: [pooler, mean]}")
    assert names(same) == ["baseline", "pooling=mean"]
    assert same.arms[0].merged == ("reference",)
    assert same.combinations["pooler",] == "baseline"


def test_a_combination_can_be_the_baseline(tmp_path: Path) -> None:
    for text in ("{pairing: concat}", "{pairing: concat, train.lr: 1e-5}", "pairing=concat"):
        design = plan(
            tmp_path,
            f"baseline: {text}\ngrid: {{pairing: [siamese, concat], train.lr: [1e-5, 1e-4]}}",
        )
        assert names(design) == [
            "pairing=concat",
            "reference",
            "train.lr=0.0001",
            "pairing=concat, train.lr=0.0001",
        ]
        assert design.baseline == "pairing=concat"


def test_arms_and_grid_are_a_union(tmp_path: Path) -> None:
    design = plan(
        tmp_path,
        "grid: {pairing: [siamese, concat]}\narms: {small: {limit: 1}, joined: {pairing: concat}}",
    )
    assert names(design) == ["baseline", "small", "joined"]
    assert design.find("joined").merged == ("pairing=concat",)  # type: ignore[union-attr]
    assert design.combinations == {("siamese",): "baseline", ("concat",): "joined"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("baseline: basline\narms: {baseline: {}, a: {limit: 1}}",
         "mine.yaml:2: the baseline 'basline' is not in the plan; there are baseline, a. Did you "
         "mean 'baseline'?"),
        ("baseline: a\ngrid: {limit: [1, 2, 3]}",
         "is not in the plan; there are reference, limit=2, limit=3."),
        ("baseline: {pairng: concat}\ngrid: {pairing: [siamese, concat]}",
         "baseline: no factor 'pairng'; there are pairing. Did you mean 'pairing'?"),
        ("baseline: {pairing: joined}\ngrid: {pairing: [siamese, concat]}",
         "baseline: pairing has no level joined; it has siamese, concat."),
        ("baseline: {pairing: concat}\narms: {a: {limit: 1}}",
         "baseline: no factor 'pairing'; there are none."),
        ("where: [pairing == 'concat']\ngrid: {pairing: [siamese, concat], limit: [1, 2]}",
         "the baseline 'baseline' is removed by `where`; there are pairing=concat, pairing=concat, "
         "limit=2."),
        ("where: [limit != null]\narms: {a: {limit: 1}}",
         "the baseline 'baseline' is removed by `where`; there are a."),
        ("baseline: {pairing: siamese}\ndesign: leave-one-out\n"
         "grid: {pairing: [siamese, concat], limit: [1, 2]}",
         "'siamese, 1' is not in the plan; there are everything, without pairing, without limit."),
    ],
)  # fmt: skip
def test_a_baseline_that_is_not_in_the_plan_lists_what_is(
    tmp_path: Path, text: str, message: str
) -> None:
    assert message in refusal(tmp_path, text)


# --- what is one run is one arm


def test_knobs_of_a_method_that_is_off_vanish_whatever_the_order(tmp_path: Path) -> None:
    knobs = ["smart: [null, {}]", "smart.lambda_s: [1, 3]", "smart.steps: [1, 2]"]
    for grid in (knobs, knobs[::-1]):
        design = plan(tmp_path, f"grid: {{{', '.join(grid)}}}")
        assert {arm.cell for arm in design.arms} == {
            cell(),
            *(
                cell(f"smart={{lambda_s: {weight}, steps: {steps}}}")
                for weight, steps in product((1, 3), (1, 2))
            ),
        }
        assert len(design.arms) == 5
        assert len(design.combinations) == 8
        assert list(design.combinations.values()).count("baseline") == 4
        assert len(design.arms[0].merged) == 3


def test_what_only_a_vanished_knob_is_refused_for_is_not_refused(tmp_path: Path) -> None:
    # scope [sts] names a task that is not trained, and where everything trains there is no scope
    text = "grid: {tasks: [sst, [sst, sts]], freeze.scope: [all, [sts]], freeze.unfrozen: [all, 2]}"
    assert "2 combinations" not in refusal(tmp_path, text)
    assert (
        "the combination tasks=[sst], freeze.scope=[sts], freeze.unfrozen=2 cannot be run"
        in refusal(tmp_path, text)
    )
    design = plan(tmp_path, text + "\nwhere: not (tasks == ['sst'] and freeze.scope == ['sts'])")
    assert (
        design.combinations["[sst]", "[sts]", "all"] == design.combinations["[sst]", "all", "all"]
    )
    assert len(design.combinations) == 7


def test_an_own_factor_can_turn_a_method_off_too(tmp_path: Path) -> None:
    text = (
        "grid:\n  smart.lambda_s: [1, 3]\n"
        "  noise: {off: {smart: null}, clip: {smart: {}}, big: {smart.projection: normalise}}"
    )
    design = plan(tmp_path, text)
    assert len(design.arms) == 5
    assert design.factors["noise"][0] == "off"
    changes = [arm.changes for arm in design.arms]
    assert changes == [
        {},
        {"smart": {}},
        {"smart": {"projection": "normalise"}},
        {"smart": {"lambda_s": 3.0}},
        {"smart": {"lambda_s": 3.0, "projection": "normalise"}},
    ]


def test_a_knob_alone_turns_its_method_on(tmp_path: Path) -> None:
    design = plan(tmp_path, "grid: {smart.lambda_s: [1, 3]}\nbaseline: baseline")
    assert [arm.cell for arm in design.arms] == [
        cell(),
        cell("smart.lambda_s=1"),
        cell("smart.lambda_s=3"),
    ]


def test_settings_of_the_base_stay_where_a_level_turns_a_method_on(tmp_path: Path) -> None:
    design = plan(tmp_path, "set: {smart.lambda_s: 5}\ngrid: {smart: [null, {}]}")
    assert design.factors == {"smart": ("{}", "null")}
    assert [arm.cell for arm in design.arms] == [cell("smart.lambda_s=5"), cell()]
    assert design.arms[1].changes == {"smart": None}


def test_changes_lead_from_the_baseline_to_the_arm(tmp_path: Path) -> None:
    text = (
        "grid: {tasks: [[sst, quora, sts], sst], smart: [null, {mu: 0}], pairing: [siamese, "
        "concat], freeze.scope: [all, [sts]], freeze.unfrozen: [all, 2]}"
    )
    text += "\nwhere: not (tasks == ['sst'] and freeze.scope == ['sts'])"
    for baseline in (
        "",
        "baseline: {smart: '{mu: 0}', pairing: concat, freeze.unfrozen: 2, freeze.scope: '[sts]'}",
    ):
        design = plan(tmp_path, f"{text}\n{baseline}")
        base = design.arms[0].config.model_dump(mode="json")
        for arm in design.arms:
            steps = {
                key: YamlDocument(source="test", value=_nested(key, value))
                for key, value in arm.changes.items()
            }
            assert (
                build([YamlDocument(source="base", value=base), *steps.values()]).resolved()
                == arm.config
            )


def test_the_head_of_a_task_that_is_not_trained_is_no_change(tmp_path: Path) -> None:
    design = plan(tmp_path, "base: final\narms: {sst alone: {tasks: [sst]}}")
    assert design.arms[1].changes == {"tasks": ["sst"]}


def _nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    assert isinstance(value, dict)
    return value


# --- where


def test_where_takes_cells_out_of_arms_and_grid(tmp_path: Path) -> None:
    text = (
        "arms: {a: {limit: 5}, b: {limit: 50}}\n"
        "grid: {pairing: [siamese, concat], limit: [1, 20]}\n"
    )
    design = plan(tmp_path, f"{text}where: [limit < 30, not (pairing == 'concat' and limit == 20)]")
    assert names(design) == ["baseline", "a", "limit=20", "pairing=concat"]
    assert set(design.combinations) == {("siamese", "1"), ("siamese", "20"), ("concat", "1")}


def test_where_sees_what_is_resolved_and_own_factors_by_level(tmp_path: Path) -> None:
    text = (
        "set: {heads.sts: auto}\ngrid:\n  pairing: [siamese, concat]\n"
        "  size: {small: {limit: 1}, large: {limit: 9}}\n"
    )
    design = plan(
        tmp_path, f"{text}where: [not (heads.sts == 'linear' and size == 'large'), smart == null]"
    )
    assert names(design) == ["baseline", "size=large", "pairing=concat"]


def test_where_that_removes_everything_is_an_error(tmp_path: Path) -> None:
    text = "where: [limit == 7]\ngrid: {pairing: [siamese, concat]}"
    assert refusal(tmp_path, text) == "mine.yaml:2: where removes all 2 arms: 'limit == 7'"
    alone = "where: [pairing == 'siamese']\ngrid: {pairing: [siamese, concat]}"
    assert "the baseline 'baseline' is the only arm; add another" in refusal(tmp_path, alone)


# --- what makes no plan


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("arms:\n  a: {limit: 1}\n  idle: {heads.sts: dot}",
         "mine.yaml:4: arm 'idle' changes nothing against the baseline 'baseline': heads.sts=dot "
         "has no effect there."),
        ("arms: {a: {limit: 1}, idle: {}}",
         "arm 'idle' changes nothing against the baseline 'baseline': it has no settings."),
        ("arms: {a: {freeze.scope: [sts]}}",
         "arm 'a' changes nothing against the baseline 'baseline': freeze.scope=[sts] has no "
         "effect there."),
        ("arms:\n  a: {limit: 1}\n  b: {limit: 1}", "mine.yaml:4: arm 'b' is the same run as 'a'"),
        ("arms: {idle: {}}\ngrid: {pairing: [siamese, concat]}",
         "arm 'idle' changes nothing against the baseline 'baseline'"),
        ("arms: {a: {surgery: dominant}}",
         "mine.yaml:2: arm 'a': surgery='dominant' needs several tasks in one step"),
        ("arms: {pairing=concat: {limit: 1}}\ngrid: {pairing: [siamese, concat]}",
         "two different arms are called 'pairing=concat'; rename one."),
        ("grid:\n  limit: [1, 2]\n  pairing: [concat]",
         "mine.yaml:4: pairing has one level, concat, and so changes nothing; put it under `set`"),
        ("grid: {pairing: []}", "mine.yaml:2: pairing has no levels"),
        ("grid: {size: {a: {limit: 1}, b: {limit: 1}}}",
         "size: the levels a and b are the same; keep one."),
        ("grid: {train.lr: [1, 1.0]}", "train.lr: the levels 1 and 1.0 are the same; keep one."),
        ("grid: {limit: [1, 2], size: {a: {limit: 3}, b: {}}}",
         "size: limit is set by the factor limit too"),
        ("grid: {pairing: [siamese, concat], freeze.scope: [all, [sts]]}",
         "freeze.scope changes nothing: its levels all, [sts] give the same runs in every "
         "combination."),
        ("set: {tasks: [sst]}\ngrid: {pairing: [siamese, concat], limit: [1, 2]}",
         "pairing changes nothing"),
        ("set: {surgery: dominant}\ngrid: {limit: [1, 2]}",
         "2 combinations, such as limit=1, cannot be run: surgery='dominant' needs several tasks "
         "in one step; schedule='pooled' gives one. Use schedule=consolidated or schedule=joint, "
         "or surgery=sum. The base or `set` causes it."),
        ("arms: {a: {limit: 1}}\nclaims: [{claim: It, arm: b, expect: helps}]",
         "mine.yaml:3: claims.0.arm: no arm 'b'; there are baseline, a."),
        ("arms: {apple: {limit: 1}}\nclaims: [{claim: It, arm: apple, than: aple, expect: helps}]",
         "claims.0.than: no arm 'aple'; there are baseline, apple. Did you mean 'apple'?"),
        ("arms: {a: {limit: 1}}\nclaims: [{claim: It, arm: baseline, expect: helps}]",
         "'baseline' is compared with itself"),
        ("arms: {a: {tasks: [sts]}}\nclaims: [{claim: It, arm: a, task: sst, expect: helps}]",
         "'a' does not train sst; it has sts."),
        ("arms: {a: {tasks: [sts]}}\nclaims: [{claim: It, arm: a, expect: helps}]",
         "overall is not the same mean in 'a' and 'baseline'"),
    ],
)  # fmt: skip
def test_what_makes_no_plan_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    assert message in refusal(tmp_path, text)


@pytest.mark.parametrize(
    "grid",
    [
        "surgery: [sum, dominant], pairing: [siamese, concat]",
        "surgery: [sum, pcgrad], schedule: [pooled, consolidated], train.batch_size: [1, 8]",
        "pairing: [siamese, concat], heads.quora: [auto, dot, mlp]",
        "pairing: [siamese, concat], head: {plain: {}, 'it''s mlp': {heads.quora: mlp}}",
        "surgery: [sum, dominant], tasks: [[sst, sts], [sst]], schedule: [consolidated, sqrt]",
    ],
)
def test_a_refused_combination_is_shown_with_conditions_that_remove_just_it(
    tmp_path: Path, grid: str
) -> None:
    message = refusal(tmp_path, f"grid: {{{grid}}}")
    conditions = [parse_yaml(found).value[0] for found in re.findall(r"where: (\[.*\])", message)]
    assert conditions
    definition = define(tmp_path, f"grid: {{{grid}}}\nwhere: {json.dumps(conditions)}")
    design = expand(definition, cell_of)
    every = list(product(*(levels for levels in definition.grid.values())))
    good = 0
    for levels in every:
        layers = [
            YamlDocument(source="level", value=definition.grid[factor][level])
            for factor, level in zip(definition.grid, levels, strict=True)
        ]
        try:
            build(layers)
            good += 1
        except ConfigError:
            continue
    assert len(design.combinations) == good < len(every)


def test_a_grid_beyond_all_measure_is_refused_before_it_is_made() -> None:
    words = [
        f"{key}={','.join(map(str, range(8, 28)))}"
        for key in ("limit", "max_length", "train.epochs", "train.max_steps")
    ]
    with pytest.raises(
        ConfigError,
        match=f"grid: 160000 combinations; at most {MAX_COMBINATIONS}. "
        "design: one-at-a-time has 77",
    ):
        expand(from_words(words), cell_of)


def test_settings_that_no_reader_has_checked_are_refused_too() -> None:
    definition = Definition(name="mine", question="why?", arms={"a": {"pairing": "joined"}})
    with pytest.raises(
        ConfigError, match="definition: arm 'a': pairing: must be 'siamese' or 'concat'"
    ):
        expand(definition, cell_of)
