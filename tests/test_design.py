"""Designs: the arms of definitions, worked by hand, as laws, and for the shipped definitions."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl.ablation.definition import find_definition, from_words, read_definition
from mtl.ablation.design import expand
from mtl.config.presets import PRESETS
from mtl.config.schema import RunConfig
from mtl.errors import ConfigError
from tests.design_tools import cell, cell_of, names, plan

SHIPPED = sorted((Path(__file__).parents[1] / "ablations").glob("*.yaml"))


# --- arms


def test_named_arms_stand_beside_the_base(tmp_path: Path) -> None:
    design = plan(
        tmp_path,
        "base: final\nset: {limit: 9}\n"
        "arms: {all: {freeze.unfrozen: all}, joined: {pairing: concat}}",
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
    text = (
        "grid:\n  rate: {high: {train.lr: 1e-3, train.warmup: 0.1}, plain: {}}\n"
        "  pairing: [siamese, concat]"
    )
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


def test_the_example_of_the_docs_is_one_that_is_taken(tmp_path: Path) -> None:
    text = (Path(__file__).resolve().parents[1] / "docs" / "grids.md").read_text("utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.S)
    (tmp_path / "mine.yaml").write_text(block, "utf-8")
    design = expand(read_definition(tmp_path / "mine.yaml"), cell_of)
    assert names(design)[:3] == ["baseline", "all layers", "sts only"]
    assert names(design)[3:] == ["rate=low", "pairing=concat, rate=low"]
