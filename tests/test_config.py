"""Configs: the paper's presets and defaults, heads, and laws of the object."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mtl.config.presets import PRESETS
from mtl.config.schema import RunConfig
from mtl.config.settings import build, config_from, file_layer
from mtl.documents.yaml_file import dump_yaml
from mtl.errors import ConfigError
from mtl.tasks.registry import TASKS
from tests.config_tools import put


def written(config: RunConfig, folder: Path) -> RunConfig:
    """The config after a trip through a YAML file."""
    return build([file_layer(put(folder, dump_yaml(config.model_dump(mode="json"))))])


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
    assert [config.heads.word(task) for task in config.tasks] == ["mlp", "auto", "same"]
    assert (config.freeze.unfrozen, config.freeze.scope, config.freeze.dropout) == (
        "all",
        "all",
        False,
    )
    assert config.train.lr == 1e-5
    assert [config.head(task) for task in TASKS] == ["mlp", "dot", "dot"]


def test_final_is_the_papers_cosine_head_three_layers_and_nine_epochs() -> None:
    config = config_from(["final"])
    assert config.heads.word("sts") == "auto"
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
        "seed encoder data tasks limit max_length pairing pooling heads task_weights losses "
        "schedule freeze surgery smart rdrop lora train simcse overall".split()
    )
    names = (
        "epochs max_steps max_examples batch_size accumulate lr head_lr layer_decay "
        "task_weights_lr weight_decay warmup decay dropout "
        "max_grad_norm ema precision select"
    )
    assert list(type(RunConfig().train).model_fields) == names.split()


def test_editors_get_a_json_schema() -> None:
    schema = RunConfig.model_json_schema()
    assert set(schema["properties"]) == set(RunConfig.model_fields)
    assert schema["additionalProperties"] is False


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
    assert config.resolved().heads.written() == {
        "sst": "mlp", "quora": wanted_quora, "sts": wanted_sts
    }  # fmt: skip


def test_same_is_quoras_head_even_where_quora_does_not_train() -> None:
    config = config_from(["tasks=sts", "heads.quora=features", "heads.sts=same"])
    assert config.head("sts") == "features"
    assert config.resolved().head("sts") == "features"


# --- the object


def test_a_config_is_frozen_all_through() -> None:
    config = config_from(["heads.sts=dot"])
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
                st.sampled_from(
                    ["pooled", "consolidated", "joint", "round_robin", "sqrt", "annealed"]
                )
            )
        ),
        "surgery": draw(st.sampled_from(["sum", "dominant", "pcgrad"]))
        if schedule in ("consolidated", "joint") and len(tasks) > 1
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
    assert not set(resolved.heads.written().values()) & {"auto", "same"}
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


KEYS = st.sampled_from(["seed", "tasks", "heads", "heads.sst", "train", "train.lr", "train.lr.x",
                        "train.", ".", ".train", "a..b",
                        "freeze.scope", "freeze.scope.0", "smart.steps", "tasks.0", "heads.x1", "1",
                        "limit", "'a", "{", "-"])  # fmt: skip
VALUES = st.sampled_from(["1", "[]", "[[]]", "{}", "{a: 1}", "null", "sst", "sst,", ",",
                          "[sst, {a: 1}]", "[sst, 1]", "all", "true",
                          "*a", "&a 1", "[", "'", "!!int 1", "- 1", "a: 1", "---", "1e999",
                          "{lr: {a: [1]}}", "{lr.x: 1}"])  # fmt: skip
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
