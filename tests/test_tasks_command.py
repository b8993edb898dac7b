"""`mtl tasks`: what it lists, shows, checks and writes, and how it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mtl.data.check import check_rows
from mtl.data.load import load_rows
from mtl.documents.yaml_file import parse_yaml
from mtl.tasks.definition import read_task
from mtl.tasks.registry import TASKS
from tests.cli_tools import mtl
from tests.tasks_tools import done, refused, write

SEA = """\
task: sea
task_type: classification
text: body
label: topic
labels: {1: sea, 2: sky, 3: soil}
metric: macro_f1
data:
  path: csv
  data_files: {train: sea.csv}
  splits: {dev: {from: train, share: 0.25}}
"""
ROWS = "body,topic\n" + "".join(f"text {n},{n % 3 + 1}\n" for n in range(24))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


def sea(**replaced: str) -> None:
    """The task `sea` and its rows, with other lines for some keys."""
    text = SEA
    for key, line in replaced.items():
        text = re.sub(rf"^{key}: .*$", line, text, flags=re.M)
    write("tasks/sea.yaml", text)
    write("tasks/sea.csv", ROWS)


# --- list and show


def test_tasks_here_and_shipped_ones_are_listed() -> None:
    sea()
    lines = json.loads(done("tasks", "list", "--json"))
    assert [line["task"] for line in lines] == ["sst", "quora", "sts", "sea"]
    assert lines[-1] == {
        "task": "sea", "type": "classification", "text": "body", "labels": "sea, sky, soil",
        "metric": "macro_f1", "weight": 1.0, "where": "tasks/sea.yaml",
    }  # fmt: skip
    assert [line["where"] for line in lines[:3]] == ["shipped"] * 3
    table = done("tasks", "list")
    assert all(word in table for word in ("sst", "macro_f1", "0 to 5", "tasks/sea.yaml"))


def test_a_wrong_file_does_not_hide_the_other_tasks() -> None:
    sea()
    write("tasks/wrong.yaml", "task: wrong\n")
    result = mtl("tasks", "list", "--json")
    assert result.exit_code == 2
    assert "sea" in [line["task"] for line in json.loads(result.stdout)]
    assert "tasks/wrong.yaml:1: text: expected one column" in result.stderr


@pytest.mark.parametrize("name", ["sst", "quora", "sts", "sea", "tasks/sea.yaml"])
def test_what_is_shown_is_the_task(name: str) -> None:
    sea()
    text = done("tasks", "show", name)
    assert json.loads(done("tasks", "show", name, "--json")) == parse_yaml(text).value
    other = write("elsewhere/copy.yaml", text)
    task, copy = TASKS.find(name), read_task(other)
    assert copy.identity() == task.identity()
    assert copy.auto_heads == task.auto_heads
    with TASKS.using([copy]):
        copied = load_rows("sample", [copy.name], ["train", "dev"])
    rows = load_rows("sample", [task.name], ["train", "dev"])
    assert [part.fingerprint() for part in copied.values()] == [
        part.fingerprint() for part in rows.values()
    ]


def test_defaults_are_written_out() -> None:
    sea()
    value = json.loads(done("tasks", "show", "sea", "--json"))
    assert value["loss"] == "cross_entropy"
    assert value["weight"] == 1.0
    assert value["head"] == {"siamese": "mlp", "concat": "mlp"}
    assert value["data"]["splits"] == {
        "train": "train", "dev": {"from": "train", "share": 0.25}, "test": None
    }  # fmt: skip


@pytest.mark.parametrize("command", ["show", "check"])
def test_an_unknown_name_is_answered_with_the_known_ones(command: str) -> None:
    sea()
    (line,) = refused("tasks", command, "see")
    assert line.startswith("no task 'see'; there are quora, sea, sst, sts. Did you mean 'sea'?")
    (line,) = refused("tasks", command, "nowhere/x.yaml")
    assert line == "nowhere/x.yaml: cannot be read: No such file or directory."


# --- check


def test_check_prints_the_counts_of_check_rows() -> None:
    sea()
    report = json.loads(done("tasks", "check", "sea", "--json"))
    rows = load_rows("sample", ["sea"], ["train", "dev"])
    assert report == {"source": "the tasks' own", **check_rows(rows)}
    splits = report["tasks"]["sea"]["splits"]
    assert (splits["train"]["rows"], splits["dev"]["rows"]) == (18, 6)
    counts = [part["labels"]["counts"] for part in splits.values()]
    assert {word: sum(part[word] for part in counts) for word in counts[0]} == {
        "1": 8, "2": 8, "3": 8
    }  # fmt: skip
    table = done("tasks", "check", "sea")
    assert report["fingerprint"] in table
    assert "most words" in table


def test_check_counts_scores_without_a_range_in_bins() -> None:
    sea(task_type="task_type: regression", labels="range: null", metric="metric: rmse")
    counts = json.loads(done("tasks", "check", "sea", "--json"))["tasks"]["sea"]["splits"]["train"][
        "labels"
    ]["counts"]
    assert list(counts) == ["1-1.4", "1.4-1.8", "1.8-2.2", "2.2-2.6", "2.6-3"]
    assert sum(counts.values()) == 18


def test_check_takes_shipped_tasks_and_paths_together() -> None:
    sea()
    write("other/lake.yaml", SEA.replace("task: sea", "task: lake"))
    write("other/sea.csv", ROWS)
    report = json.loads(done("tasks", "check", "sst", "sea", "other/lake.yaml", "--json"))
    assert list(report["tasks"]) == ["sst", "lake", "sea"]
    assert report["source"] == "sample"


def test_check_says_all_that_is_wrong_with_all_tasks() -> None:
    sea()
    write("tasks/sea.csv", ROWS + ",1\nx,4\n")
    write("tasks/wrong.yaml", "task: wrong\ntask_type: regresion\ntext: a\nlabel: b\nmetric: f3\n")
    lines = refused("tasks", "check", "sea", "wrong", "sst", "nope")
    places = [line.split(": ")[0] for line in lines]
    assert [place for place in places if place.startswith("tasks/")] == [
        "tasks/wrong.yaml:2", "tasks/wrong.yaml:5", "tasks/sea.csv:26", "tasks/sea.csv:27"
    ]  # fmt: skip
    assert any(line.startswith("no task 'nope'") for line in lines)


def test_check_leaves_out_bad_rows_where_told_and_lists_them() -> None:
    sea()
    write("tasks/sea.csv", ROWS + ",1\nx,4\n")
    result = mtl("tasks", "check", "sea", "--on-bad-row", "skip", "--json")
    splits = json.loads(result.stdout)["tasks"]["sea"]["splits"]
    assert sum(part["left_out"] for part in splits.values()) == 2
    assert [line.split(": ")[1] for line in result.stderr.splitlines()] == [
        "tasks/sea.csv:26", "tasks/sea.csv:27"
    ]  # fmt: skip


def test_two_tasks_of_one_name_are_refused() -> None:
    sea()
    write("other/sea.yaml", SEA.replace("0.25", "0.5"))
    write("other/sea.csv", ROWS)
    (line,) = refused("tasks", "check", "sea", "other/sea.yaml")
    assert line.startswith("other/sea.yaml: the task sea is another in sea.")


def test_data_check_takes_any_task() -> None:
    sea()
    report = json.loads(
        done("data", "check", "/nowhere", "--tasks", "sea", "--splits", "train,dev", "--json")
    )
    own = json.loads(done("tasks", "check", "sea", "--json"))
    assert report == own


# --- beside other commands

TINY = ("encoder=random-tiny", "limit=12", "train.max_steps=2", "train.batch_size=4")


def test_a_wrong_file_hinders_no_command_about_other_tasks() -> None:
    sea()
    write("tasks/wrong.yaml", "task: wrong\n")
    ids = [
        json.loads(done("train", f"tasks={name}", *TINY, "--json"))["run_id"]
        for name in ("sea", "sst")
    ]
    assert all(run_id in done("runs", "list") for run_id in ids)
    assert "dev/sea/macro_f1" in done("runs", "diff", *ids)
    write("in.tsv", "sentence1\tsentence2\na b\tc d\n")
    (line,) = refused("predict", ids[1], "--task", "sst", "--input", "in.tsv")
    assert "takes one sentence a row: the column sentence." in line
    assert any(
        line.startswith("tasks/wrong.yaml:1: ") for line in refused("train", "tasks=wrong", *TINY)
    )


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("{as: nope}", "heads.sea=same: no task 'nope'; there are"),
        ("{as: lake}", "heads.sea=same: sea and lake take each other's head."),
        ("{as: quora}", "heads.sea=same is quora's dot, which sea cannot have with"),
        ("{as: sea}", "tasks/sea.yaml:11: head: as: expected another task than this one."),
    ],
)
def test_a_head_of_another_task_is_one_that_there_is(head: str, said: str) -> None:
    sea()
    write("tasks/sea.yaml", SEA + f"head: {head}\n")
    write("tasks/lake.yaml", SEA.replace("task: sea", "task: lake") + "head: {as: sea}\n")
    (line,) = refused("config", "tasks=sea")
    assert said in line
    if "tasks/sea.yaml" not in said:
        done("config", "tasks=sea", "heads.sea=linear")


def test_words_with_codes_of_a_terminal_are_shown_as_text() -> None:
    rows = [{"body": f"text {n}", "topic": ["a\x1b[31m", "b"][n % 2]} for n in range(24)]
    write("tasks/sea.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    text = SEA.replace("{1: sea, 2: sky, 3: soil}", '{"a\\e[31m": "[red]", b: "[/]"}')
    write("tasks/sea.yaml", text.replace("csv", "json").replace("sea.json", "sea.jsonl"))
    printed = done("tasks", "check", "sea") + done("tasks", "list") + done("tasks", "show", "sea")
    assert "\x1b" not in printed
    assert "a\\x1b[31m: " in printed
    assert "[red], [/]" in printed
