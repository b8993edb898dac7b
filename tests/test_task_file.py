"""A task's YAML: what is stored is what was read, and all that is wrong is said at once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl.documents.yaml_file import YamlDocument, dump_yaml, parse_yaml
from mtl.errors import ConfigError
from mtl.tasks.definition import definition_of, read_task, stored_task, task_from
from mtl.tasks.file import DataFile, TaskFile
from mtl.tasks.registry import TASKS, shipped
from mtl.tasks.task import Cut, Format, Loss, Metric, TableData
from mtl.tasks.written import written

GOOD: dict[str, Any] = {
    "task": "mine", "task_type": "classification", "text": "body", "label": "topic",
    "labels": ["sea", "sky"], "metric": "accuracy",
    "data": {"path": "csv", "data_files": {"train": "a.csv", "dev": "b.csv"}},
}  # fmt: skip
SCORE = {"task_type": "regression", "labels": None, "metric": "rmse"}


def made(**changes: Any) -> dict[str, Any]:
    return {key: value for key, value in (GOOD | changes).items() if value is not None}


def refusal(folder: Path, text: str) -> list[str]:
    """The lines of the error that a file gives, without its folder."""
    path = folder / "mine.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigError) as error:
        read_task(path)
    assert error.value.exit_code == 2
    return str(error.value).replace(f"{folder}/", "").splitlines()


def problem(folder: Path, **changes: Any) -> str:
    """The only line of the error of a task with these keys."""
    (line,) = refusal(folder, dump_yaml(made(**changes)))
    return line


words = st.text("abcdefgh 0123456789äß:#'\"", min_size=1, max_size=8).map(str.strip)
words = words.filter(bool)


@given(
    classes=st.lists(words, min_size=2, max_size=5, unique=True),
    names=st.booleans(),
    ordered=st.booleans(),
    weight=st.sampled_from([0, 0.5, 1, 3]),
    pair=st.booleans(),
    title=words,
)
def test_what_a_record_stores_of_a_task_is_the_task(
    classes: list[str], names: bool, ordered: bool, weight: float, pair: bool, title: str
) -> None:
    labels: Any = {word: f"{word}!" for word in classes} if names else classes
    text = ["one", "two"] if pair else ["one"]
    value = made(labels=labels, ordered=ordered, weight=weight, text=text, title=title, data=None)
    task = task_from(YamlDocument(source="here", value=value), Path())
    assert stored_task(definition_of(task), "record") == task
    assert task.weight == weight


@pytest.mark.parametrize("score_range", [None, [0, 5], [-1.5, 1.5]])
@pytest.mark.parametrize("weight", [0, 2])
def test_a_regression_is_stored_with_its_range_and_weight(score_range: Any, weight: float) -> None:
    value = made(**SCORE, range=score_range, weight=weight, data=None)
    task = task_from(YamlDocument(source="here", value=value), Path())
    assert stored_task(definition_of(task), "record") == task
    assert (task.weight, task.bounded) == (weight, score_range is not None)


@pytest.mark.parametrize("name", list(shipped()))
def test_a_written_out_shipped_task_is_the_same_task(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.yaml"
    path.write_text(dump_yaml(written(TASKS[name])), "utf-8")
    assert read_task(path) == TASKS[name]


def test_a_written_out_task_is_the_same_task_wherever_it_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    splits = {"train": "train", "dev": {"from": "train", "share": 0.25}, "test": None}
    data = {"path": "csv", "data_files": {"train": "../a.csv"}, "splits": splits, "id": "key"}
    for folder in ("one", "two/deep"):
        Path(folder).mkdir(parents=True)
    Path("one/mine.yaml").write_text(dump_yaml(made(data=data, weight=0)), "utf-8")
    first = read_task(Path("one/mine.yaml"))
    Path("two/deep/mine.yaml").write_text(dump_yaml(written(first)), "utf-8")
    second = read_task(Path("two/deep/mine.yaml"))
    assert second.identity() == first.identity()
    assert isinstance(first.data, TableData)
    assert isinstance(second.data, TableData)
    assert second.data.splits == first.data.splits
    assert second.data.splits["dev"] == Cut(source="train", share=0.25)
    assert second.data.files["train"] == (tmp_path / "a.csv")


# --- splits


def test_splits_that_are_not_named_are_those_of_the_usual_names() -> None:
    def splits(data: dict[str, Any]) -> Any:
        task = task_from(YamlDocument(source="here", value=made(data=data)), Path())
        assert isinstance(task.data, TableData)
        return dict(task.data.splits)

    files = {"train": "a", "validation": "b"}
    assert splits({"path": "csv", "data_files": files}) == {
        "train": "train", "dev": "validation", "test": None
    }  # fmt: skip
    hub = {"path": "me/set"}
    assert splits(hub) == {"train": "train", "dev": "validation", "test": "test"}
    assert splits(hub | {"splits": {"dev": "dev", "test": None}}) == {
        "train": "train", "dev": "dev", "test": None
    }  # fmt: skip


def csv(**keys: Any) -> dict[str, Any]:
    return {"path": "csv", "data_files": {"train": "a.csv", "dev": "b.csv"}} | keys


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (csv(splits={"dev": "train", "train": "train"}), "two splits are the same rows"),
        (csv(data_files={"train": "a.csv", "dev": "./a.csv"}), "two of them are the same file"),
        (csv(data_files={"train": "a", "dev": "b", "tset": "c"}), "Did you mean 'test'?"),
        (csv(splits={"train": "trian"}), "Did you mean 'train'?"),
        (csv(splits={"dev": {"from": "train", "share": 1}}), "data.splits: expected splits"),
        (csv(data_files=None), "data.data_files: expected the files"),
        (csv(revision="abc"), "data.revision: only for a data set on the hub"),
        (csv(name="sub"), "data.name: only for a data set on the hub"),
        ({"path": "cvs"}, "Did you mean 'csv'?"),
        ({"path": "me/set", "data_files": {"train": "a"}}, "data.data_files: only for a path"),
        ({"path": "glue"}, "or a hub id (OWNER/NAME), got 'glue'"),
    ],
)
def test_data_that_cannot_be_is_one_line_with_its_remedy(
    tmp_path: Path, data: dict[str, Any], said: str
) -> None:
    data = {key: value for key, value in data.items() if value is not None}
    message = problem(tmp_path, data=data)
    assert said in message
    assert message.startswith("mine.yaml:")


def test_cuts_leave_rows_to_train(tmp_path: Path) -> None:
    cut = {"from": "train", "share": 0.5}
    data = csv(data_files={"train": "a.csv"}, splits={"dev": cut, "test": cut})
    assert "the shares cut from 'train' add up to 1, expected below 1" in problem(
        tmp_path, data=data
    )


# --- labels and types


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels": ["sea", "sea"]}, "labels: a class is named twice"),
        ({"labels": {"0": "sea", "1": "sea"}}, "labels: a class is named twice"),
        ({"labels": ["sea"]}, "labels: expected 2 to 1000 classes, got 1"),
        ({"labels": [True, False]}, "in quotes, got [True, False]"),
        ({"labels": [0.5, 1.5]}, "in quotes, got [0.5, 1.5]"),
        ({"labels": {"sea": 0, "sky": 1}}, "{word in the data: name}"),
        ({"labels": ["s\x1b[31m", "sky"]}, "labels: 's\\x1b[31m' holds a control character"),
        ({"title": "a\nb"}, "title: 'a\\nb' holds a control character"),
        ({"labels": [" sea", "sky"]}, "labels: a word begins or ends with a blank"),
        ({"labels": None}, "labels: expected the classes in order"),
        ({"label": "body"}, "label: 'body' is a column of text too"),
        ({"label": "id"}, "label: the column 'id' holds the rows' ids"),
        ({"text": ["a", "b", "c"]}, "text: expected one column or a list of two"),
        ({"text": ["a", "a"]}, "text: ['a', 'a']: a column is named twice"),
        ({"task": "overall"}, "task: overall has a meaning of its own"),
        ({"task": "a b"}, "task: expected a name"),
        ({"weight": -1}, "weight: must be greater than or equal to 0"),
        ({**SCORE, "range": [5, 0]}, "range: expected the lowest and the highest score"),
        ({**SCORE, "range": [0, 1, 2]}, "range: expected the lowest and the highest score"),
        ({**SCORE, "ordered": True}, "ordered: only for task_type: classification"),
        ({"metric": "pearson"}, "metric: pearson is not defined here. Those that are: accuracy"),
        ({"labels": ["a", "b", "c"], "metrics": ["auc"]}, "metrics: auc is not defined here"),
        ({"labels": ["a", "b", "c"], "loss": "bce"}, "loss: bce does not fit"),
        ({"head": "dot"}, "head: 'dot' does not fit pairing=siamese"),
    ],
)
def test_what_cannot_be_is_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    lines = refusal(tmp_path, dump_yaml(made(**changes)))
    assert said in lines[0]
    assert all(line.startswith("mine.yaml:") for line in lines)


def test_every_problem_of_a_file_is_said_at_once_with_its_line(tmp_path: Path) -> None:
    text = """\
task: overall
task_type: classification
text: [body, body]
label: topic
labels: [sea, sea]
range: [0, 1]
loss: mse
metric: pearson
colour: red
weight: -1
data:
  path: csv
  revision: abc
  data_files: {train: a.csv, tset: b.csv}
  splits: {dev: {from: trian, share: 0.1}}
"""
    lines = refusal(tmp_path, text)
    keys = [line.split(": ")[:2] for line in lines]
    assert keys == [
        ["mine.yaml:1", "task"], ["mine.yaml:3", "text"], ["mine.yaml:5", "labels"],
        ["mine.yaml:6", "range"], ["mine.yaml:7", "loss"], ["mine.yaml:8", "metric"],
        ["mine.yaml:9", "colour"], ["mine.yaml:10", "weight"], ["mine.yaml:13", "data.revision"],
        ["mine.yaml:14", "data.data_files"], ["mine.yaml:15", "data.splits"],
    ]  # fmt: skip


def test_what_follows_from_a_wrong_key_is_not_said(tmp_path: Path) -> None:
    lines = refusal(tmp_path, dump_yaml(made(task_type="clasification", loss="bce")))
    assert len(lines) == 1
    assert "Did you mean 'classification'?" in lines[0]


@pytest.mark.parametrize(("text", "came"), [("- a\n", "['a']"), ("", "nothing"), ("a\n", "'a'")])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str, came: str) -> None:
    assert refusal(tmp_path, text) == [f"mine.yaml: expected a task (task: NAME, ...), got {came}."]


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    (line,) = refusal(tmp_path, "task: a\ntask: b\n")
    assert line.startswith("mine.yaml:2: duplicate key 'task'")


def test_a_missing_key_is_named_at_the_files_first_line(tmp_path: Path) -> None:
    lines = refusal(tmp_path, dump_yaml(made(label=None, metric=None)))
    assert [line.split(": expected")[0] for line in lines] == [
        "mine.yaml:1: label", "mine.yaml:1: metric"
    ]  # fmt: skip


def test_the_home_of_nobody_is_a_path_like_another() -> None:
    value = made(data=csv(data_files={"train": "~nobody-here/a.csv", "dev": "b.csv"}))
    assert parse_yaml(dump_yaml(value)).value == value
    task = task_from(YamlDocument(source="here", value=value), Path("x"))
    assert isinstance(task.data, TableData)
    assert task.data.files["train"] == Path("x/~nobody-here/a.csv")


def test_one_column_or_metric_needs_no_list(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(dump_yaml(made(text="body", metrics="mcc")), "utf-8")
    task = read_task(path)
    assert (task.sentence_columns, task.metrics) == (("body",), ("mcc",))


# --- the page

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "tasks.md").read_text("utf-8")


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", PAGE, re.S))
def test_the_examples_of_the_page_are_tasks(block: str) -> None:
    task = task_from(parse_yaml(block), Path())
    assert isinstance(task.data, TableData)
    assert task.data.splits["train"] == "train"


@pytest.mark.parametrize("model", [TaskFile, DataFile])
def test_the_page_has_every_key(model: type[TaskFile | DataFile]) -> None:
    assert not [key for key in model.model_fields if f"`{key}`" not in PAGE]


def test_the_page_has_every_word_of_a_key() -> None:
    words = (*get_args(Metric), *get_args(Loss), *get_args(Format))
    assert not [word for word in words if f"`{word}`" not in PAGE]
