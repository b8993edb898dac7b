"""Every mistake in a config is named at once, with its place and a remedy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from mtl.config.schema import RunConfig
from mtl.config.settings import config_from
from mtl.errors import ConfigError
from tests.config_tools import put, refusal

# --- one mistake at a time


@pytest.mark.parametrize(
    ("word", "place", "near"),
    [
        ("pairng=concat", "pairng", "pairing"),
        ("train.batchsize=8", "train.batchsize", "batch_size"),
        ("heads.qora=dot", "heads.qora", "quora"),
        ("freeze.unfreeze=3", "freeze.unfreeze", "unfrozen"),
        ("trian.lr=1", "trian", "train"),
        ("lr=1e-4", "lr", "train.lr"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(
    word: str, place: str, near: str
) -> None:
    message = refusal(word)
    assert f"{place}: unknown key" in message
    assert re.search(rf"[Dd]id you mean '{re.escape(near)}'", message)


@pytest.mark.parametrize(
    ("word", "near"), [("finl", "final"), ("basline", "baseline"), ("seed", "seed=")]
)
def test_a_word_that_is_nothing_is_refused_with_the_nearest_thing(word: str, near: str) -> None:
    assert f"'{near}'" in refusal(word)


def test_two_presets_are_refused() -> None:
    message = refusal("final", "concat")
    assert "final" in message
    assert "concat" in message


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("seed=true", "seed"), ("seed=1.0", "seed"), ("seed='1'", "seed"), ("seed=null", "seed"),
        ("seed=[1]", "seed"),
        ("train.epochs=true", "train.epochs"), ("train.epochs=2.5", "train.epochs"),
        ("train.lr=true", "train.lr"),
        ("train.lr=fast", "train.lr"), ("train.lr='1e-4'", "train.lr"),
        ("train.lr={a: 1}", "train.lr"),
        ("freeze.dropout=1", "freeze.dropout"), ("freeze.dropout=yes", "freeze.dropout"),
        ("freeze.unfrozen=true", "freeze.unfrozen"),
        ("freeze.unfrozen=some", "freeze.unfrozen"), ("freeze.unfrozen=1.5", "freeze.unfrozen"),
        ("freeze.scope=3", "freeze.scope"),
        ("encoder=", "encoder"), ("encoder=", "encoder"),
        ("data=", "data"),
        ("tasks=all", "tasks"), ("tasks=[]", "tasks"), ("tasks={sst: 1}", "tasks"),
        ("tasks=null", "tasks"),
        ("train=3", "train"), ("heads=[mlp]", "heads"), ("freeze=null", "freeze"),
        ("limit=true", "limit"),
        ("pairing=both", "pairing"), ("pairing=true", "pairing"), ("smart=1", "smart"),
        ("train.max_steps=1e3", "train.max_steps"),
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_type_is_refused_with_its_key_and_what_came(
    word: str, key: str
) -> None:
    message = refusal(word)
    assert f"{key}: " in message or f"{key}." in message
    assert repr(word) in message


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf", "1e999"])
@pytest.mark.parametrize(
    "key",
    ["train.lr", "train.weight_decay", "train.warmup", "train.dropout", "train.max_grad_norm"],
)
def test_numbers_that_are_not_finite_are_refused(key: str, value: str) -> None:
    assert f"{key}: " in refusal(f"{key}={value}")


@pytest.mark.parametrize(
    ("key", "inside", "outside"),
    [
        ("seed", [0, 2**32 - 1], [-1, 2**32]),
        ("limit", [1, 10**6], [0, -1]),
        ("max_length", [8, 512], [7, 513]),
        ("freeze.unfrozen", [0, 6], [-1]),
        ("train.epochs", [1], [0]),
        ("train.max_steps", [1], [0]),
        ("train.batch_size", [1], [0, -4]),
        ("train.lr", [1e-12, 1], [0, -1e-5]),
        ("train.weight_decay", [0, 0.1], [-0.1]),
        ("train.warmup", [0, 1], [-0.1, 1.1]),
        ("train.dropout", [0, 0.9], [-0.1, 1]),
        ("train.max_grad_norm", [0.1], [0, -1]),
    ],
)
def test_numbers_out_of_range_are_refused_and_the_ends_are_taken(
    key: str, inside: list[float], outside: list[float]
) -> None:
    for value in inside:
        config_from([f"{key}={value}"])
    for value in outside:
        message = refusal(f"{key}={value}")
        assert f"{key}: " in message
        assert str(value) in message


@pytest.mark.parametrize(
    ("word", "near"),
    [("pairing=siames", "siamese"), ("heads.sts=cosin", "cosine"), ("train.decay=liner", "linear")],
)
def test_a_wrong_choice_is_refused_with_the_nearest_one(word: str, near: str) -> None:
    assert f"Did you mean '{near}'" in refusal(word)


@pytest.mark.parametrize("word", ["=3", "=", " =3"])
def test_an_assignment_without_a_key_is_refused(word: str) -> None:
    assert repr(word) in refusal(word)


@pytest.mark.parametrize("text", ["- seed\n", "seed\n", "3\n"])
def test_a_file_that_is_no_mapping_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = put(tmp_path, text)
    assert str(path) in refusal(path)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    assert "absent.yaml" in refusal(tmp_path / "absent.yaml")


# --- settings that exclude each other


@pytest.mark.parametrize(
    ("words", "key", "can", "cannot"),
    [
        (["heads.quora=linear"], "heads.quora", ["dot", "features"], ["cosine", "mlp"]),
        (["heads.quora=mlp"], "heads.quora", ["dot", "features"], ["cosine"]),
        (["heads.sts=linear"], "heads.sts", ["cosine", "dot", "features"], ["mlp"]),
        (["concat", "heads.quora=dot"], "heads.quora", ["linear", "mlp"], ["features", "cosine"]),
        (["concat", "heads.sts=cosine"], "heads.sts", ["linear", "mlp"], ["dot", "features"]),
        (["concat", "heads.sts=features"], "heads.sts", ["linear", "mlp"], ["dot", "cosine"]),
    ],
)  # fmt: skip
def test_a_head_that_cannot_take_the_pairing_names_the_heads_that_can(
    words: list[str], key: str, can: list[str], cannot: list[str]
) -> None:
    (line,) = (
        line
        for line in refusal(*words).splitlines()
        if f"{key}=" in line.split("Heads that can")[0]
    )
    remedy = line.split("Heads that can", 1)[1]
    for head in can:
        assert re.search(rf"\b{head}\b", remedy), head
    for head in cannot:
        assert not re.search(rf"\b{head}\b", remedy), head


def test_the_same_as_quora_is_refused_where_quoras_head_is() -> None:
    message = refusal("concat", "heads.quora=dot", "heads.sts=same")
    assert "heads.quora" in message
    assert "heads.sts" in message


def test_the_head_of_an_absent_task_may_be_anything() -> None:
    assert config_from(["tasks=sst", "heads.quora=linear"]).tasks == ("sst",)


def test_a_scope_that_names_an_absent_task_is_refused() -> None:
    message = refusal("tasks=sst,quora", "freeze.unfrozen=3", "freeze.scope=sts")
    assert "freeze.scope" in message
    assert "sts" in message


@pytest.mark.parametrize("schedule", ["pooled", "round_robin", "sqrt", "annealed"])
@pytest.mark.parametrize("surgery", ["dominant", "pcgrad"])
def test_surgery_under_a_schedule_of_one_task_a_step_is_refused_with_the_way_out(
    schedule: str, surgery: str
) -> None:
    message = refusal(f"surgery={surgery}", f"schedule={schedule}")
    assert (
        f"surgery='{surgery}' needs several tasks in one step; schedule='{schedule}' gives one"
        in message
    )
    assert "Use schedule=consolidated" in message
    assert config_from([f"surgery={surgery}", "schedule=consolidated"]).surgery == surgery


def test_surgery_of_one_task_or_of_batches_of_one_row_is_refused() -> None:
    message = refusal("surgery=dominant", "schedule=consolidated", "tasks=sts")
    assert "tasks=['sts'] is one" in message
    assert len(refusal("surgery=dominant", "tasks=sts").splitlines()) == 1
    assert "train.batch_size=1 gives one" in refusal(
        "surgery=pcgrad", "schedule=consolidated", "train.batch_size=1"
    )


def test_a_task_named_twice_is_refused() -> None:
    assert "tasks" in refusal("tasks=sst,sst")
    assert "tasks" in refusal("tasks=[sts, sst, sts]")


def test_problems_name_the_file_and_line_of_the_setting_too(tmp_path: Path) -> None:
    path = put(tmp_path, "# a question\npairing: concat\nheads:\n  quora: dot\n")
    assert f"{path}:4" in refusal(path, "heads.sts=linear")


@pytest.mark.parametrize(
    "wrong", [{"pairing": "concat", "heads": {"quora": "dot"}}, {"tasks": ("sst", "sst")}]
)
def test_training_refuses_excluded_settings_however_the_config_was_made(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    from mtl.training.loop import train

    config = RunConfig(encoder="random-tiny", limit=4, train={"max_steps": 1}, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError):
        train(config, runs=tmp_path / "runs", wandb="disabled")
    assert not (tmp_path / "runs").exists()


# --- all mistakes at once


def test_all_mistakes_come_at_once_each_with_its_file_line_and_key(tmp_path: Path) -> None:
    path = put(
        tmp_path,
        "# a question\ntasks: [sst, quora, sts]\ntrain:\n  lr: fast\n  epochs: true\n"
        "  dropout: 1.5\npairng: concat\n"
        "heads:\n  sst: mpl\nfreeze.unfrozen: -1\noverall: .nan\n",
    )
    lines = refusal(path, "max_length=4", "train.decay=never").splitlines()
    starts = [
        f"{path}:4: train.lr: ", f"{path}:5: train.epochs: ", f"{path}:6: train.dropout: ",
        f"{path}:7: pairng: ",
        f"{path}:9: heads.sst: ", f"{path}:10: freeze.unfrozen: ", f"{path}:11: overall: ",
        "'max_length=4':1: max_length: ", "'train.decay=never':1: train.decay: ",
    ]  # fmt: skip
    for start in starts:
        found = [
            line
            for line in lines
            if line.startswith(start) or line.startswith(start.replace("':1:", "':"))
        ]
        assert len(found) == 1, start
    assert len(lines) == len(starts)


def test_a_wrong_item_of_a_list_has_its_own_line(tmp_path: Path) -> None:
    path = put(
        tmp_path,
        "tasks:\n  - sst\n  - stss\nfreeze:\n  unfrozen: 2\n  scope:\n    - sst\n    - qora\n",
    )
    message = refusal(path)
    assert f"{path}:3: tasks.1: " in message
    assert f"{path}:8: freeze.scope" in message
    assert "Did you mean 'sts'" in message


def test_a_mistake_is_blamed_on_the_layer_that_made_it(tmp_path: Path) -> None:
    path = put(tmp_path, "train:\n  lr: -1\n  epochs: 0\n")
    lines = refusal("final", path, "train.epochs=-3").splitlines()
    assert sum(line.startswith(f"{path}:2: train.lr: ") for line in lines) == 1
    assert sum(line.startswith("'train.epochs=-3'") and "-3" in line for line in lines) == 1
    assert len(lines) == 2


def test_a_mistake_that_a_later_layer_mends_is_none(tmp_path: Path) -> None:
    path = put(tmp_path, "train:\n  lr: -1\n")
    assert config_from([str(path), "train.lr=1e-4"]).train.lr == 1e-4


def test_dotted_keys_keep_their_lines(tmp_path: Path) -> None:
    path = put(tmp_path, "seed: 1\ntrain.lr: fast\nfreeze: {unfrozen: 2}\ntrain.epochs: 0\n")
    assert {line.split(": ")[0] for line in refusal(path).splitlines()} == {
        f"{path}:2",
        f"{path}:4",
    }


@pytest.mark.parametrize("unknown", ["heads.sst2", "heads.mine", "train.beta1", "mine"])
def test_a_wrong_key_does_not_hide_settings_that_exclude_each_other(unknown: str) -> None:
    message = refusal(
        f"{unknown}=1",
        "heads.quora=linear",
        "tasks=quora,sst",
        "freeze.unfrozen=2",
        "freeze.scope=sts",
    )
    assert f"{unknown}: unknown key" in message
    assert "Heads that can" in message
    assert "freeze.scope names sts" in message


def test_a_wrong_value_causes_no_second_complaint_about_its_stand_in() -> None:
    assert (
        len(refusal("pairing=concatt", "heads.quora=linear", "heads.sts=linear").splitlines()) == 1
    )
    assert len(refusal("tasks=[stss]", "freeze.scope=[quora]").splitlines()) == 1
