"""Plans: what a definition expands to, worked by hand; what is one run is one arm; and every plan that makes no sense."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl.ablation.definition import Definition, find_definition, from_words, read_definition
from mtl.ablation.design import Design, expand
from mtl.ablation.factors import MAX_COMBINATIONS
from mtl.config import identity
from mtl.config import yaml as strict_yaml
from mtl.config.schema import PRESETS, RunConfig
from mtl.config.settings import build, config_from
from mtl.config.yaml import Document
from mtl.errors import ConfigError

SHIPPED = sorted((Path(__file__).parents[1] / "ablations").glob("*.yaml"))


def cell_of(config: RunConfig) -> str:
    return identity.cell(config, data="0123456789abcdef", encoder="fedcba9876543210")


def cell(*words: str) -> str:
    """The cell of the config that `mtl train` makes of the words."""
    return cell_of(config_from(list(words)))


def define(folder: Path, text: str) -> Definition:
    path = folder / "mine.yaml"
    path.write_text(f"question: why?\n{text}", "utf-8")
    return read_definition(path)


def plan(folder: Path, text: str) -> Design:
    return expand(define(folder, text), cell_of)


def names(design: Design) -> list[str]:
    return [arm.name for arm in design.arms]


def refusal(folder: Path, text: str) -> str:
    definition = define(folder, text)
    with pytest.raises(ConfigError) as error:
        expand(definition, cell_of)
    return str(error.value).replace(str(folder / "mine.yaml"), "mine.yaml")


# --- arms


def test_named_arms_stand_beside_the_base(tmp_path: Path) -> None:
    design = plan(
        tmp_path,
        "base: final\nset: {limit: 9}\narms: {all: {freeze.unfrozen: all}, joined: {pairing: concat}}",
    )
    assert names(design) == ["baseline", "all", "joined"]
    assert design.baseline == "baseline"
    assert [arm.cell for arm in design.arms] == [
        cell("final", "limit=9"),
        cell("final", "limit=9", "freeze.unfrozen=all"),
        cell("final", "limit=9", "pairing=concat"),
    ]
    assert design.arms[1].changes == {"freeze.unfrozen": "all"}
    assert design.arms[2].changes == {
        "pairing": "concat",
        "heads.quora": "linear",
        "heads.sts": "linear",
    }
    assert design.arms[0].changes == {}
    assert (design.factors, design.combinations) == ({}, {})
    assert all(
        arm.levels == {} and arm.config == arm.config.resolved() and arm.config.seed == 0
        for arm in design.arms
    )


def test_an_arm_called_baseline_is_the_baseline_wherever_it_stands(tmp_path: Path) -> None:
    design = plan(tmp_path, "arms: {joined: {pairing: concat}, baseline: {limit: 9}}")
    assert names(design) == ["baseline", "joined"]
    assert design.arms[0].cell == cell("limit=9")
    assert design.arms[1].changes == {
        "pairing": "concat",
        "heads.quora": "linear",
        "heads.sts": "linear",
        "limit": None,
    }


def test_any_arm_can_be_the_baseline(tmp_path: Path) -> None:
    design = plan(tmp_path, "baseline: b\narms: {a: {limit: 1}, b: {limit: 2}}")
    assert names(design) == ["b", "a"]


# --- designs, by hand

GRID = "grid:\n  pairing: [siamese, concat]\n  train.lr: [1e-4, 1e-5]\n  pooling: [cls, mean]\n"


def test_full_is_every_combination_named_by_what_is_not_at_its_reference(tmp_path: Path) -> None:
    design = plan(tmp_path, "grid: {pairing: [siamese, concat], train.lr: [1e-4, 1e-5, 1e-3]}")
    assert design.factors == {
        "pairing": ("siamese", "concat"),
        "train.lr": ("1e-5", "0.0001", "0.001"),
    }
    assert design.combinations == {
        ("siamese", "1e-5"): "baseline",
        ("siamese", "0.0001"): "train.lr=0.0001",
        ("siamese", "0.001"): "train.lr=0.001",
        ("concat", "1e-5"): "pairing=concat",
        ("concat", "0.0001"): "pairing=concat, train.lr=0.0001",
        ("concat", "0.001"): "pairing=concat, train.lr=0.001",
    }
    assert names(design) == list(design.combinations.values())
    assert design.arms[0].cell == cell()
    assert design.arms[4].cell == cell("pairing=concat", "train.lr=1e-4")
    assert design.arms[4].levels == {"pairing": "concat", "train.lr": "0.0001"}


def test_the_first_level_is_the_reference_where_none_is_the_bases(tmp_path: Path) -> None:
    design = plan(tmp_path, GRID)
    assert design.factors["pooling"] == ("cls", "mean")
    assert design.factors["train.lr"] == ("1e-5", "0.0001")
    assert design.arms[0].name == "baseline"
    assert design.arms[0].cell == cell("pooling=cls")


def test_a_level_that_resolves_to_the_base_is_the_reference(tmp_path: Path) -> None:
    # the base's sts head is `same`, which is quora's dot
    design = plan(tmp_path, "grid: {heads.sts: [cosine, dot]}")
    assert design.factors == {"heads.sts": ("dot", "cosine")}
    assert design.arms[0].cell == cell()


def test_one_at_a_time(tmp_path: Path) -> None:
    design = plan(
        tmp_path, "grid: {pairing: [siamese, concat], limit: [null, 1, 2]}\ndesign: one-at-a-time"
    )
    assert design.combinations == {
        ("siamese", "null"): "baseline",
        ("concat", "null"): "pairing=concat",
        ("siamese", "1"): "limit=1",
        ("siamese", "2"): "limit=2",
    }


def test_pairwise_adds_the_other_levels_of_each_two_factors(tmp_path: Path) -> None:
    design = plan(tmp_path, f"{GRID}design: pairwise")
    assert names(design) == [
        "baseline",
        "pairing=concat",
        "train.lr=0.0001",
        "pooling=mean",
        "pairing=concat, train.lr=0.0001",
        "pairing=concat, pooling=mean",
        "train.lr=0.0001, pooling=mean",
    ]


def test_leave_one_out_goes_back_from_everything(tmp_path: Path) -> None:
    design = plan(tmp_path, f"{GRID}design: leave-one-out")
    assert design.combinations == {
        ("concat", "0.0001", "mean"): "everything",
        ("siamese", "0.0001", "mean"): "without pairing",
        ("concat", "1e-5", "mean"): "without train.lr",
        ("concat", "0.0001", "cls"): "without pooling",
    }
    assert design.baseline == names(design)[0] == "everything"
    assert design.arms[0].cell == cell("pairing=concat", "train.lr=1e-4", "pooling=mean")
    assert design.arms[1].changes == {
        "pairing": "siamese",
        "heads.quora": "dot",
        "heads.sts": "dot",
    }


def test_a_factor_of_its_own_has_named_levels(tmp_path: Path) -> None:
    text = "grid:\n  rate: {high: {train.lr: 1e-3, train.warmup: 0.1}, plain: {}}\n  pairing: [siamese, concat]"
    design = plan(tmp_path, text)
    assert design.factors["rate"] == ("plain", "high")
    assert design.combinations["high", "concat"] == "rate=high, pairing=concat"
    assert design.find("rate=high, pairing=concat").cell == cell(
        "train.lr=1e-3", "train.warmup=0.1", "pairing=concat"
    )  # type: ignore[union-attr]


def test_lists_are_levels_by_the_items_of_the_outer_list(tmp_path: Path) -> None:
    design = plan(tmp_path, "base: final\ngrid: {freeze.scope: [all, [sts], [sst, sts]]}")
    assert design.factors == {"freeze.scope": ("all", "[sts]", "[sst, sts]")}
    assert design.arms[1].cell == cell("final", "freeze.scope=[sts]")


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
        ("baseline: basline\narms: {baseline: {}, a: {limit: 1}}", "mine.yaml:2: the baseline 'basline' is not in the plan; there are baseline, a. Did you mean 'baseline'?"),
        ("baseline: a\ngrid: {limit: [1, 2, 3]}", "is not in the plan; there are reference, limit=2, limit=3."),
        ("baseline: {pairng: concat}\ngrid: {pairing: [siamese, concat]}", "baseline: no factor 'pairng'; there are pairing. Did you mean 'pairing'?"),
        ("baseline: {pairing: joined}\ngrid: {pairing: [siamese, concat]}", "baseline: pairing has no level joined; it has siamese, concat."),
        ("baseline: {pairing: concat}\narms: {a: {limit: 1}}", "baseline: no factor 'pairing'; there are none."),
        ("where: [pairing == 'concat']\ngrid: {pairing: [siamese, concat], limit: [1, 2]}", "the baseline 'baseline' is removed by `where`; there are pairing=concat, pairing=concat, limit=2."),
        ("where: [limit != null]\narms: {a: {limit: 1}}", "the baseline 'baseline' is removed by `where`; there are a."),
        ("baseline: {pairing: siamese}\ndesign: leave-one-out\ngrid: {pairing: [siamese, concat], limit: [1, 2]}", "'siamese, 1' is not in the plan; there are everything, without pairing, without limit."),
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
    text = "grid:\n  smart.lambda_s: [1, 3]\n  noise: {off: {smart: null}, clip: {smart: {}}, big: {smart.projection: normalise}}"
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
    text = "grid: {tasks: [[sst, quora, sts], sst], smart: [null, {mu: 0}], pairing: [siamese, concat], freeze.scope: [all, [sts]], freeze.unfrozen: [all, 2]}"
    text += "\nwhere: not (tasks == ['sst'] and freeze.scope == ['sts'])"
    for baseline in (
        "",
        "baseline: {smart: '{mu: 0}', pairing: concat, freeze.unfrozen: 2, freeze.scope: '[sts]'}",
    ):
        design = plan(tmp_path, f"{text}\n{baseline}")
        base = design.arms[0].config.model_dump(mode="json")
        for arm in design.arms:
            steps = {
                key: Document(source="test", value=_nested(key, value))
                for key, value in arm.changes.items()
            }
            assert (
                build([Document(source="base", value=base), *steps.values()]).resolved()
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
    text = "arms: {a: {limit: 5}, b: {limit: 50}}\ngrid: {pairing: [siamese, concat], limit: [1, 20]}\n"
    design = plan(tmp_path, f"{text}where: [limit < 30, not (pairing == 'concat' and limit == 20)]")
    assert names(design) == ["baseline", "a", "limit=20", "pairing=concat"]
    assert set(design.combinations) == {("siamese", "1"), ("siamese", "20"), ("concat", "1")}


def test_where_sees_what_is_resolved_and_own_factors_by_level(tmp_path: Path) -> None:
    text = "set: {heads.sts: auto}\ngrid:\n  pairing: [siamese, concat]\n  size: {small: {limit: 1}, large: {limit: 9}}\n"
    design = plan(
        tmp_path, f"{text}where: [not (heads.sts == 'linear' and size == 'large'), smart == null]"
    )
    assert names(design) == ["baseline", "size=large", "pairing=concat"]


def test_where_that_removes_everything_is_an_error(tmp_path: Path) -> None:
    text = "where: [limit == 7]\ngrid: {pairing: [siamese, concat]}"
    assert refusal(tmp_path, text) == "mine.yaml:2: where removes all 2 arms: 'limit == 7'"
    alone = "where: [pairing == 'siamese']\ngrid: {pairing: [siamese, concat]}"
    assert "the baseline 'baseline' is all there is: nothing to compare it with" in refusal(
        tmp_path, alone
    )


# --- what makes no plan


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("arms:\n  a: {limit: 1}\n  idle: {heads.sts: dot}", "mine.yaml:4: arm 'idle' changes nothing against the baseline 'baseline': heads.sts=dot has no effect there."),
        ("arms: {a: {limit: 1}, idle: {}}", "arm 'idle' changes nothing against the baseline 'baseline': it has no settings."),
        ("arms: {a: {freeze.scope: [sts]}}", "arm 'a' changes nothing against the baseline 'baseline': freeze.scope=[sts] has no effect there."),
        ("arms:\n  a: {limit: 1}\n  b: {limit: 1}", "mine.yaml:4: arm 'b' is the same run as 'a'"),
        ("arms: {idle: {}}\ngrid: {pairing: [siamese, concat]}", "arm 'idle' changes nothing against the baseline 'baseline'"),
        ("arms: {a: {surgery: dominant}}", "mine.yaml:2: arm 'a': surgery='dominant' needs several tasks in one step"),
        ("arms: {pairing=concat: {limit: 1}}\ngrid: {pairing: [siamese, concat]}", "two different arms are called 'pairing=concat'; rename one."),
        ("grid:\n  limit: [1, 2]\n  pairing: [concat]", "mine.yaml:4: pairing has one level, concat, and so changes nothing; put it under `set`"),
        ("grid: {pairing: []}", "mine.yaml:2: pairing has no levels"),
        ("grid: {size: {a: {limit: 1}, b: {limit: 1}}}", "size: the levels a and b are the same; keep one."),
        ("grid: {train.lr: [1, 1.0]}", "train.lr: the levels 1 and 1.0 are the same; keep one."),
        ("grid: {limit: [1, 2], size: {a: {limit: 3}, b: {}}}", "size: limit is set by the factor limit too"),
        ("grid: {pairing: [siamese, concat], freeze.scope: [all, [sts]]}", "freeze.scope changes nothing: its levels all, [sts] give the same runs in every combination."),
        ("set: {tasks: [sst]}\ngrid: {pairing: [siamese, concat], limit: [1, 2]}", "pairing changes nothing"),
        ("set: {surgery: dominant}\ngrid: {limit: [1, 2]}", "2 combinations, such as limit=1, cannot be run: surgery='dominant' needs several tasks in one step; schedule='pooled' gives one. Use schedule=consolidated, or surgery=sum. The base or `set` causes it."),
        ("arms: {a: {limit: 1}}\nclaims: [{claim: It, arm: b, expect: helps}]", "mine.yaml:3: claims.0.arm: no arm 'b'; there are baseline, a."),
        ("arms: {apple: {limit: 1}}\nclaims: [{claim: It, arm: apple, than: aple, expect: helps}]", "claims.0.than: no arm 'aple'; there are baseline, apple. Did you mean 'apple'?"),
        ("arms: {a: {limit: 1}}\nclaims: [{claim: It, arm: baseline, expect: helps}]", "'baseline' is compared with itself"),
        ("arms: {a: {tasks: [sts]}}\nclaims: [{claim: It, arm: a, task: sst, expect: helps}]", "'a' does not train sst; it has sts."),
        ("arms: {a: {tasks: [sts]}}\nclaims: [{claim: It, arm: a, expect: helps}]", "overall is not the same mean in 'a' and 'baseline'"),
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
    conditions = [
        strict_yaml.parse(found).value[0] for found in re.findall(r"where: (\[.*\])", message)
    ]
    assert conditions
    definition = define(tmp_path, f"grid: {{{grid}}}\nwhere: {json.dumps(conditions)}")
    design = expand(definition, cell_of)
    every = list(product(*(levels for levels in definition.grid.values())))
    good = 0
    for levels in every:
        layers = [
            Document(source="level", value=definition.grid[factor][level])
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
        match=f"grid: 160000 combinations; at most {MAX_COMBINATIONS}. design: one-at-a-time has 77",
    ):
        expand(from_words(words), cell_of)


def test_settings_that_no_reader_has_checked_are_refused_too() -> None:
    definition = Definition(name="mine", question="why?", arms={"a": {"pairing": "joined"}})
    with pytest.raises(
        ConfigError, match="definition: arm 'a': pairing: input should be 'siamese' or 'concat'"
    ):
        expand(definition, cell_of)


# --- laws

FACTORS = {
    "pairing": ["siamese", "concat"],
    "pooling": ["cls", "mean", "pooler"],
    "smart": ["null", "{}", "{mu: 0}"],
    "smart.steps": ["1", "2"],
    "freeze.unfrozen": ["all", "2"],
    "freeze.scope": ["all", "[sts]"],
}


@settings(max_examples=40, deadline=None)
@given(
    chosen=st.lists(st.sampled_from(sorted(FACTORS)), min_size=2, max_size=4, unique=True),
    base=st.sampled_from(sorted(PRESETS)),
)
def test_every_combination_is_the_run_that_its_words_make(chosen: list[str], base: str) -> None:
    definition = from_words([f"{key}={','.join(FACTORS[key])}" for key in chosen], base=base)
    try:
        design = expand(definition, cell_of)
    except ConfigError as error:
        assert "changes nothing" in str(error)  # freeze.scope where everything trains
        return
    off = [("smart", "null")]
    for levels in product(*(FACTORS[key] for key in chosen)):
        pairs = list(zip(chosen, levels, strict=True))
        words = [
            f"{key}={level}"
            for key, level in sorted(pairs)
            if key != "smart.steps" or off[0] not in pairs
        ]
        arm = design.find(design.combinations[tuple(levels)])
        assert arm is not None
        assert arm.cell == cell(base, *words)
    assert len({arm.cell for arm in design.arms}) == len(design.arms)
    assert len(set(names(design))) == len(design.arms)
    told = [name for arm in design.arms for name in (arm.name, *arm.merged)]
    assert len(told) == len(set(told)) == len(design.combinations)


def test_expansion_asks_for_each_combination_once_and_changes_nothing() -> None:
    definition = from_words(["smart=null,{}", "smart.lambda_s=1,3", "pairing=siamese,concat"])
    before, asked = definition.to_yaml(), []

    def counted(config: RunConfig) -> str:
        asked.append(config)
        return cell_of(config)

    first = expand(definition, counted)
    assert len(asked) == 8
    assert expand(definition, cell_of) == first
    assert definition.to_yaml() == before


# --- what ships


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_definition_makes_a_plan_with_the_cells_that_its_table_gives(
    path: Path,
) -> None:
    design = expand(read_definition(path), cell_of)
    readme = (path.parent / "README.md").read_text("utf-8")
    (row,) = re.findall(rf"^\| `{path.stem}` \|.*\| ([0-9]+) \|$", readme, re.M)
    assert len(design.arms) == int(row)
    assert design.baseline == "baseline"


def test_the_papers_arms_are_its_presets() -> None:
    design = expand(
        find_definition(str(next(path for path in SHIPPED if path.stem == "paper"))), cell_of
    )
    for preset in PRESETS:
        arm = design.find(preset)
        assert arm is not None
        assert arm.cell == cell(preset)


def test_the_example_of_the_readme_is_one_that_is_taken(tmp_path: Path) -> None:
    (block,) = re.findall(
        r"```yaml\n(.*?)```", (SHIPPED[0].parent / "README.md").read_text("utf-8"), re.S
    )
    (tmp_path / "mine.yaml").write_text(block, "utf-8")
    design = expand(read_definition(tmp_path / "mine.yaml"), cell_of)
    assert names(design)[:3] == ["baseline", "all layers", "sts only"]
    assert names(design)[3:] == ["rate=low", "pairing=concat, rate=low"]
