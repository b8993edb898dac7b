"""Configs: the paper's presets, layers that win in order, and every mistake named at once with its place."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mtl.config import yaml as strict_yaml
from mtl.config.schema import PRESETS, RunConfig
from mtl.config.sections import Heads
from mtl.config.settings import build, config_from, file_layer, typed_config
from mtl.errors import ConfigError
from mtl.tasks.registry import TASKS


def refusal(*words: object) -> str:
    """The message that the words are refused with."""
    with pytest.raises(ConfigError) as error:
        config_from([str(word) for word in words])
    assert error.value.exit_code == 2
    return str(error.value)


def put(folder: Path, text: str, name: str = "run.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def written(config: RunConfig, folder: Path) -> RunConfig:
    """The config after a trip through a YAML file."""
    return build([file_layer(put(folder, strict_yaml.dump(config.model_dump(mode="json"))))])


# --- presets and defaults


def test_the_defaults_are_the_papers_baseline_on_the_built_in_data() -> None:
    config = config_from([])
    assert config == RunConfig() == config_from(["baseline"])
    assert (config.seed, config.encoder, config.data, config.limit, config.max_length) == (
        0,
        "minilm-l6",
        "sample",
        None,
        128,
    )
    assert config.tasks == ("sst", "quora", "sts")
    assert (config.pairing, config.pooling, config.schedule, config.surgery) == (
        "siamese",
        "pooler",
        "pooled",
        "sum",
    )
    assert config.smart is None
    assert config.overall == "mean"
    assert config.heads == Heads(sst="mlp", quora="auto", sts="same")
    assert (config.freeze.unfrozen, config.freeze.scope, config.freeze.dropout) == (
        "all",
        "all",
        False,
    )
    assert config.train.lr == 1e-5
    assert [config.head(task) for task in TASKS] == ["mlp", "dot", "dot"]


def test_final_is_the_papers_cosine_head_three_layers_and_nine_epochs() -> None:
    config = config_from(["final"])
    assert config.heads.sts == "auto"
    assert config.freeze.unfrozen == 3
    assert (config.train.lr, config.train.epochs) == (1e-4, 9)
    assert [config.head(task) for task in TASKS] == ["mlp", "dot", "cosine"]
    same = config_from(["heads.sts=auto", "freeze.unfrozen=3", "train.lr=1e-4", "train.epochs=9"])
    assert config == same


def test_concat_is_final_with_pairs_in_one_sequence() -> None:
    assert config_from(["concat"]) == config_from(["final", "pairing=concat"])
    assert [config_from(["concat"]).head(task) for task in TASKS] == ["mlp", "linear", "linear"]


def test_there_are_three_presets() -> None:
    assert list(PRESETS) == ["baseline", "final", "concat"]


def test_every_setting_of_the_published_sketch_is_there_under_its_name() -> None:
    fields = list(RunConfig.model_fields)
    assert fields == (
        "seed encoder data tasks limit max_length pairing pooling heads schedule freeze surgery smart train overall".split()
    )
    names = "epochs max_steps batch_size lr weight_decay warmup decay dropout max_grad_norm precision select"
    assert list(type(RunConfig().train).model_fields) == names.split()


def test_editors_get_a_json_schema() -> None:
    schema = RunConfig.model_json_schema()
    assert set(schema["properties"]) == set(RunConfig.model_fields)
    assert schema["additionalProperties"] is False


# --- layers


def test_the_command_line_wins_over_yaml_which_wins_over_the_preset(tmp_path: Path) -> None:
    path = put(tmp_path, "train: {lr: 3e-5, epochs: 4}\nseed: 7\n")
    config = config_from(["final", str(path), "train.epochs=5"])
    assert config.train.lr == 3e-5
    assert config.train.epochs == 5
    assert config.freeze.unfrozen == 3
    assert config.seed == 7
    assert config.train.batch_size == RunConfig().train.batch_size


def test_the_order_of_the_words_does_not_matter(tmp_path: Path) -> None:
    path = put(tmp_path, "train: {lr: 3e-5, epochs: 4}\n")
    assert config_from(["train.epochs=5", str(path), "final"]) == config_from(
        ["final", str(path), "train.epochs=5"]
    )


def test_of_two_files_and_of_two_assignments_the_later_wins(tmp_path: Path) -> None:
    one, two = (
        put(tmp_path, "seed: 1\nlimit: 5\n", "one.yaml"),
        put(tmp_path, "seed: 2\n", "two.yaml"),
    )
    assert config_from([str(one), str(two)]).seed == 2
    assert config_from([str(two), str(one)]).seed == 1
    assert config_from([str(one), str(two)]).limit == 5
    assert config_from(["seed=3", "seed=4"]).seed == 4


def test_a_base_stands_in_where_no_preset_is_named() -> None:
    assert config_from(["seed=1"], base="final") == config_from(["final", "seed=1"])
    assert config_from(["concat"], base="final") == config_from(["concat"])


def test_dotted_keys_are_nested_keys_in_files_and_on_the_command_line(tmp_path: Path) -> None:
    dotted = put(tmp_path, "train.lr: 1e-4\nfreeze.unfrozen: 2\n", "dotted.yaml")
    nested = put(tmp_path, "train:\n  lr: 1e-4\nfreeze:\n  unfrozen: 2\n", "nested.yaml")
    assert (
        config_from([str(dotted)])
        == config_from([str(nested)])
        == config_from(["train.lr=1e-4", "freeze.unfrozen=2"])
    )


def test_a_section_given_in_parts_keeps_all_its_parts(tmp_path: Path) -> None:
    path = put(tmp_path, "train.lr: 1e-4\ntrain:\n  epochs: 2\ntrain.dropout: 0\n")
    train = config_from([str(path)]).train
    assert (train.lr, train.epochs, train.dropout) == (1e-4, 2, 0.0)


def test_a_setting_that_stands_twice_in_a_file_is_refused_in_either_spelling(
    tmp_path: Path,
) -> None:
    path = put(tmp_path, "train:\n  lr: 1e-4\ntrain.lr: 1e-5\n")
    message = refusal(path)
    assert f"{path}:3" in message
    assert "train.lr" in message


@pytest.mark.parametrize("word", ["tasks=sst,sts", "tasks=[sst, sts]", "tasks=sst, sts"])
def test_lists_have_a_shell_form(word: str) -> None:
    assert config_from([word]).tasks == ("sst", "sts")
    assert config_from([word.replace("tasks", "freeze.scope")]).freeze.scope == ("sst", "sts")


def test_one_word_is_a_list_of_one_and_all_is_all() -> None:
    assert config_from(["tasks=sts"]).tasks == ("sts",)
    assert config_from(["freeze.scope=sts"]).freeze.scope == ("sts",)
    assert config_from(["freeze.scope=all"]).freeze.scope == "all"


def test_values_may_hold_equals_signs_and_null_takes_a_setting_back(tmp_path: Path) -> None:
    assert config_from(["data=./a=b"]).data == "./a=b"
    path = put(tmp_path, "limit: 5\ntrain.max_grad_norm: null\n")
    config = config_from([str(path), "limit=null"])
    assert config.limit is None
    assert config.train.max_grad_norm is None


def test_numbers_are_read_as_yaml_1_2() -> None:
    config = config_from(["train.lr=1e-4", "limit=012", "data=no", "train.dropout=0"])
    assert (config.train.lr, config.limit, config.data, config.train.dropout) == (
        1e-4,
        12,
        "no",
        0.0,
    )


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert config_from([str(put(tmp_path, "# nothing\n"))]) == RunConfig()


def test_long_values_are_taken() -> None:
    assert config_from(["encoder=" + "a" * 300]).encoder == "a" * 300


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
        ("seed=true", "seed"), ("seed=1.0", "seed"), ("seed='1'", "seed"), ("seed=null", "seed"), ("seed=[1]", "seed"),
        ("train.epochs=true", "train.epochs"), ("train.epochs=2.5", "train.epochs"), ("train.lr=true", "train.lr"),
        ("train.lr=fast", "train.lr"), ("train.lr='1e-4'", "train.lr"), ("train.lr={a: 1}", "train.lr"),
        ("freeze.dropout=1", "freeze.dropout"), ("freeze.dropout=yes", "freeze.dropout"), ("freeze.unfrozen=true", "freeze.unfrozen"),
        ("freeze.unfrozen=some", "freeze.unfrozen"), ("freeze.unfrozen=1.5", "freeze.unfrozen"), ("freeze.scope=3", "freeze.scope"),
        ("encoder=5", "encoder"), ("encoder=", "encoder"), ("encoder=''", "encoder"), ("data=null", "data"),
        ("tasks=all", "tasks"), ("tasks=[]", "tasks"), ("tasks={sst: 1}", "tasks"), ("tasks=null", "tasks"),
        ("train=3", "train"), ("heads=[mlp]", "heads"), ("freeze=null", "freeze"), ("limit=true", "limit"),
        ("pairing=both", "pairing"), ("pairing=true", "pairing"), ("smart=1", "smart"), ("train.max_steps=1e3", "train.max_steps"),
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
        "# a question\ntasks: [sst, quora, sts]\ntrain:\n  lr: fast\n  epochs: true\n  dropout: 1.5\npairng: concat\n"
        "heads:\n  sst: mpl\nfreeze.unfrozen: -1\noverall: .nan\n",
    )
    lines = refusal(path, "max_length=4", "train.decay=never").splitlines()
    starts = [
        f"{path}:4: train.lr: ", f"{path}:5: train.epochs: ", f"{path}:6: train.dropout: ", f"{path}:7: pairng: ",
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


# --- heads

TABLE = [
    # pairing, heads.quora, heads.sts -> quora, sts
    ("siamese", "auto", "auto", "dot", "cosine"),
    ("siamese", "auto", "same", "dot", "dot"),
    ("siamese", "features", "same", "features", "features"),
    ("siamese", "features", "auto", "features", "cosine"),
    ("siamese", "dot", "features", "dot", "features"),
    ("concat", "auto", "auto", "linear", "linear"),
    ("concat", "auto", "same", "linear", "linear"),
    ("concat", "mlp", "same", "mlp", "mlp"),
    ("concat", "mlp", "auto", "mlp", "linear"),
    ("concat", "linear", "mlp", "linear", "mlp"),
]


@pytest.mark.parametrize(("pairing", "quora", "sts", "wanted_quora", "wanted_sts"), TABLE)
def test_auto_and_same_are_resolved(
    pairing: str, quora: str, sts: str, wanted_quora: str, wanted_sts: str
) -> None:
    config = config_from([f"pairing={pairing}", f"heads.quora={quora}", f"heads.sts={sts}"])
    assert (config.head("quora"), config.head("sts")) == (wanted_quora, wanted_sts)
    assert config.resolved().heads == Heads(sst="mlp", quora=wanted_quora, sts=wanted_sts)  # type: ignore[arg-type]


def test_same_is_quoras_head_even_where_quora_does_not_train() -> None:
    config = config_from(["tasks=sts", "heads.quora=features", "heads.sts=same"])
    assert config.head("sts") == "features"
    assert config.resolved().head("sts") == "features"


# --- the object


def test_a_config_is_frozen_all_through() -> None:
    config = RunConfig()
    for section, name in (
        (config, "seed"),
        (config.train, "lr"),
        (config.heads, "sts"),
        (config.freeze, "scope"),
    ):
        with pytest.raises(ValidationError):
            setattr(section, name, getattr(section, name))
    assert isinstance(config.tasks, tuple)


def test_a_config_can_be_a_key() -> None:
    assert len({RunConfig(), RunConfig(), RunConfig(seed=1)}) == 2


def test_unknown_keys_are_refused_in_python_too() -> None:
    with pytest.raises(ValidationError):
        RunConfig(sede=1)  # type: ignore[call-arg]


@st.composite
def configs(draw: st.DrawFn) -> RunConfig:
    """Any config without problems, with settings of methods that are off among them."""
    siamese = draw(st.booleans())
    tasks = draw(
        st.permutations(list(TASKS)).flatmap(
            lambda order: st.integers(1, 3).map(lambda n: tuple(order[:n]))
        )
    )
    quora = st.sampled_from(["auto", "dot", "features"] if siamese else ["auto", "linear", "mlp"])
    sts = st.sampled_from(
        ["auto", "same", "dot", "cosine", "features"]
        if siamese
        else ["auto", "same", "linear", "mlp"]
    )
    scope = st.just("all") | st.lists(st.sampled_from(tasks), min_size=1, unique=True).map(tuple)
    raw: dict[str, Any] = {
        "seed": draw(st.integers(0, 2**32 - 1)),
        "tasks": tasks,
        "limit": draw(st.none() | st.integers(1, 1000)),
        "pairing": "siamese" if siamese else "concat",
        "pooling": draw(st.sampled_from(["pooler", "cls", "mean", "max"])),
        "heads": {
            "sst": draw(st.sampled_from(["mlp", "linear"])),
            "quora": draw(quora),
            "sts": draw(sts),
        },
        "schedule": (
            schedule := draw(
                st.sampled_from(["pooled", "consolidated", "round_robin", "sqrt", "annealed"])
            )
        ),
        "surgery": draw(st.sampled_from(["sum", "dominant", "pcgrad"]))
        if schedule == "consolidated" and len(tasks) > 1
        else "sum",
        "freeze": {
            "unfrozen": draw(st.just("all") | st.integers(0, 6)),
            "scope": draw(scope),
            "dropout": draw(st.booleans()),
        },
        "train": {
            "epochs": draw(st.integers(1, 9)),
            "lr": draw(st.floats(1e-8, 1, exclude_min=True)),
            "dropout": draw(st.sampled_from([0.0, 0.1, 0.5])),
            "max_grad_norm": draw(st.none() | st.floats(0.1, 10)),
        },
        "overall": draw(st.sampled_from(["mean", "shifted"])),
    }
    return RunConfig.model_validate(raw)


@settings(max_examples=200, deadline=None)
@given(configs())
def test_resolving_is_idempotent_keeps_every_head_and_leaves_nothing_automatic(
    config: RunConfig,
) -> None:
    resolved = config.resolved()
    assert config.problems() == []
    assert resolved.resolved() == resolved
    assert resolved.problems() == []
    assert resolved.canonical() == config.canonical()
    assert [resolved.head(task) for task in TASKS if task in config.tasks] == [
        config.head(task) for task in TASKS if task in config.tasks
    ]
    assert not {getattr(resolved.heads, task) for task in config.tasks} & {"auto", "same"}
    assert set(resolved.tasks) == set(config.tasks)
    assert resolved.seed == config.seed
    assert resolved.train == config.train


@settings(max_examples=60, deadline=None)
@given(config=configs())
def test_a_config_written_to_yaml_is_read_back_as_the_same(
    tmp_path_factory: pytest.TempPathFactory, config: RunConfig
) -> None:
    assert written(config, tmp_path_factory.getbasetemp()) == config
    assert written(config.resolved(), tmp_path_factory.getbasetemp()) == config.resolved()


KEYS = st.sampled_from(["seed", "tasks", "heads", "heads.sst", "train", "train.lr", "train.lr.x", "train.", ".", ".train", "a..b",
                        "freeze.scope", "freeze.scope.0", "smart.steps", "tasks.0", "heads.x1", "1", "limit", "'a", "{", "-"])  # fmt: skip
VALUES = st.sampled_from(["1", "[]", "[[]]", "{}", "{a: 1}", "null", "sst", "sst,", ",", "[sst, {a: 1}]", "[sst, 1]", "all", "true",
                          "*a", "&a 1", "[", "'", "!!int 1", "- 1", "a: 1", "---", "1e999", "{lr: {a: [1]}}", "{lr.x: 1}"])  # fmt: skip
WORDS = st.lists(
    st.builds("{}={}".format, KEYS | st.text(max_size=4), VALUES | st.text(max_size=6)), max_size=4
)


@settings(max_examples=400, deadline=None)
@given(WORDS)
@example(["\x00=1"])
@example(["train=1", "train.lr=2"])
@example(["train.lr=2", "train=1"])
@example(["=" * 300])
@example(["tasks=" + "9" * 5000])
def test_whatever_is_written_gives_a_config_or_a_config_error(words: list[str]) -> None:
    with suppress(ConfigError):
        assert isinstance(config_from(words), RunConfig)


# --- words that would do nothing


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["freeze.states=fp16"], "freezes nothing. Add freeze.unfrozen=3"),
        (["freeze.scope=[sts]"], "freezes nothing"),
        (["final", "freeze.dropout=true", "train.dropout=0"], "train.dropout=0 leaves no dropout"),
        (["tasks=sst", "heads.quora=features"], "tasks=sst has no quora"),
        (["tasks=sst", "pairing=concat"], "has no task of pairs"),
        (["tasks=sst", "schedule=consolidated"], "is one task"),
        (["tasks=sst", "overall=shifted"], "has no sts"),
        (["smart.lambda_s=0", "smart.epsilon=1e-4"], "another setting of smart"),
    ],
)
def test_a_word_that_would_do_nothing_is_refused_where_it_is_typed(
    words: list[str], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        typed_config(words)
    assert any(f"{word!r} would do nothing" in str(caught.value) for word in words)
    assert said in str(caught.value)
    config_from(words)  # a cell of a grid may hold it


@pytest.mark.parametrize(
    "words",
    [
        ["freeze.scope=all"], ["freeze.dropout=false"], ["heads.quora=dot"], ["heads.sts=same"], ["heads.sts=auto"],
        ["final", "freeze.scope=sst,quora,sts"], ["tasks=sts,sst"], ["tasks=sst", "pairing=siamese"], ["smart={}"],
        ["smart.lambda_s=0", "smart.mu=0"], ["final", "freeze.states=fp16"], ["train.weight_decay=-0.0"], ["limit=null"],
        ["train.lr=3e-5", "concat"], ["smart.mu=0"],
    ],
)  # fmt: skip
def test_words_that_say_what_is_so_anyway_are_taken(words: list[str]) -> None:
    assert typed_config(words) == config_from(words)
