"""Config layers: words win over YAML, YAML over the preset; words without effect are refused."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from mtl.config.assignments import assignments, listed
from mtl.config.schema import RunConfig
from mtl.config.settings import config_from
from mtl.documents.yaml_file import dump_yaml
from mtl.errors import ConfigError
from mtl.methods.toggles import typed_config
from tests.config_tools import put, refusal

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


TEXTS = [
    "my data #2", "2024", "[v1]", "a: b", "@mine", "{x}", "./models/run #3", "null", "true", "007",
    "1e-5", "'quoted'", "*x", "&x", "- x", "a\tb", "%x", "!x", "~", "a=b", "0x1F", "é", "\u2028",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("key", ["data", "encoder"])
def test_a_key_of_text_takes_the_text_as_it_is(key: str, text: str, tmp_path: Path) -> None:
    config = config_from([f"{key}={text}"])
    assert getattr(config, key) == text
    written = put(tmp_path, dump_yaml(config.resolved().model_dump(mode="json")))
    assert config_from([str(written)]) == config.resolved()
    problems: list[str] = []
    settings, _ = assignments([f"{key}={text}"], problems)
    assert (settings, problems) == ({key: text}, [])
    assert listed(f"{key}={text},other") == (key, [text.strip("'\u2028"), "other"])


def test_a_list_of_texts_is_cut_at_commas_outside_of_quotes() -> None:
    assert listed("data='a, b',[c],bob's,\"d\"") == ("data", ["a, b", "[c]", "bob's", "d"])


def test_text_is_never_the_null_that_turns_a_section_off() -> None:
    assert config_from(["smart=null", "data=null"]).data == "null"


# --- settings without bounds


def test_sixty_thousand_keys_are_read_in_linear_time(tmp_path: Path) -> None:
    keys = {f"train.a{number}": 1 for number in range(5000)}
    started = time.perf_counter()
    message = refusal(put(tmp_path, json.dumps(keys)))
    assert time.perf_counter() - started < 10  # it took 60 s for twelve times as many: 140 times
    assert len(message.splitlines()) == 51
    assert message.endswith("4950 more values are wrong.")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed: 0x" + "f" * 4000, ":1: a number with too many digits"),
        ("train.lr: " + "9" * 400, ":1: a number with too many digits"),
        ("a" + ".a" * 60 + ": 1", "deeper than 40 levels"),
        ("a.b: [[{c: [x]}]]", "a: unknown key"),
        ('"train.\\e[31mlr": 1', r"train.\x1b[31mlr: unknown key"),
        ('"train.\\e[31mlr": 1\ntrain: {"\\e[31mlr": 1}', "second time"),
        ("tasks: [" + "sst, " * 9000 + "]", "a task is named twice"),
    ],
)
def test_hostile_settings_are_one_short_error(text: str, said: str, tmp_path: Path) -> None:
    message = refusal(put(tmp_path, text))
    assert said in message
    assert "\x1b" not in message
    assert len(message) < 1000 + len(str(tmp_path))


def test_a_file_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    link = tmp_path / "endless.yaml"
    link.symlink_to("/dev/zero")
    assert "larger than 1048576 bytes" in refusal(link)


# --- words that would have no effect


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["freeze.states=fp16"], "freezes nothing. Add freeze.unfrozen=3"),
        (["freeze.scope=[sts]"], "freezes nothing"),
        (
            ["final", "freeze.dropout=true", "train.dropout=0"],
            "train.dropout=0 turns all dropout off",
        ),
        (["tasks=sst", "heads.quora=features"], "tasks=sst has no quora"),
        (["tasks=sst", "pairing=concat"], "has no task of pairs"),
        (["tasks=sst", "schedule=consolidated"], "is one task"),
        (["tasks=sst", "overall=shifted"], "scored by a correlation"),
        (["smart.lambda_s=0", "smart.epsilon=1e-4"], "smart.lambda_s=0 turns R_s off"),
    ],
)
def test_a_word_that_would_do_nothing_is_refused_where_it_is_typed(
    words: list[str], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        typed_config(words)
    assert any(f"{word!r} has no effect" in str(caught.value) for word in words)
    assert said in str(caught.value)
    config_from(words)  # a cell of a grid may hold it


@pytest.mark.parametrize(
    "words",
    [
        ["freeze.scope=all"], ["freeze.dropout=false"], ["heads.quora=dot"], ["heads.sts=same"],
        ["heads.sts=auto"],
        ["final", "freeze.scope=sst,quora,sts"], ["tasks=sts,sst"],
        ["tasks=sst", "pairing=siamese"], ["smart={}"],
        ["smart.lambda_s=0", "smart.mu=0"], ["final", "freeze.states=fp16"],
        ["train.weight_decay=-0.0"], ["limit=null"],
        ["train.lr=3e-5", "concat"], ["smart.mu=0"],
    ],
)  # fmt: skip
def test_words_that_say_what_is_so_anyway_are_taken(words: list[str]) -> None:
    assert typed_config(words) == config_from(words)
