"""`mtl data check` counts what a person counts by hand, and says it on any terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from mtl.commands.data import data
from mtl.data.check import check_rows
from mtl.data.course.write import write_course
from mtl.data.load import load_rows
from mtl.data.rows import Rows, fingerprint
from mtl.errors import ConfigError, DataError
from mtl.tasks.registry import TASKS
from mtl.tasks.task import SPLITS, Split, TaskName

COURSE = Path(__file__).resolve().parents[2] / "shared" / "data" / "cs224n"


def quora(split: Split, rows: list[tuple[str, str, str, float]]) -> Rows:
    ids, first, second, labels = (list(column) for column in zip(*rows, strict=True))
    return Rows(
        task=TASKS["quora"],
        split=split,
        ids=ids,
        first=first,
        second=second,
        labels=np.array(labels),
    )


# t1 is t0 in the other order, with another label; t3 is t2 again.
TRAIN = quora(
    "train",
    [
        ("t0", "Is it wet ?", "Is it dry ?", 0.0),
        ("t1", "is  it DRY ?", " Is it wet ?", 1.0),
        ("t2", "Why rain ?", "Why does it rain ?", 1.0),
        ("t3", "Why rain ?", "Why does it rain ?", 1.0),
        ("t4", "Where is snow ?", "When is snow ?", 0.0),
    ],
)
# d0 is t2 in the other order; d1 shares one sentence; d3 has two known sentences of two rows.
DEV = quora(
    "dev",
    [
        ("d0", "why does it rain ?", "WHY RAIN ?", 1.0),
        ("d1", "Is it wet ?", "Is it cold ?", 0.0),
        ("d2", "Is it new ?", "Is it old ?", 0.0),
        ("d3", "Is it dry ?", "Where is snow ?", 0.0),
    ],
)
ROWS: dict[tuple[TaskName, Split], Rows] = {("quora", "train"): TRAIN, ("quora", "dev"): DEV}


def single(
    name: TaskName, split: Split, labels: list[float] | None, first: list[str] | None = None
) -> Rows:
    """Rows with these labels; the sentences differ unless given."""
    size = len(first or labels or [])
    texts = first or [f"It is {n} ." for n in range(size)]
    return Rows(
        task=TASKS[name],
        split=split,
        ids=[f"r{n}" for n in range(size)],
        first=texts,
        second=texts if TASKS[name].pair else None,
        labels=None if labels is None else np.array(labels),
    )


def test_sizes_labels_words_duplicates_and_conflicts_are_those_counted_by_hand() -> None:
    part = check_rows(ROWS)["tasks"]["quora"]["splits"]["train"]
    assert part == {
        "rows": 5,
        "left_out": 0,
        "fingerprint": TRAIN.fingerprint(),
        "labels": {"counts": {"0": 2, "1": 3}},
        "words": {"median": 4.0, "max": 5},  # 4 4, 4 4, 3 5, 3 5, 4 4
        "duplicates": 2,
        "conflicts": 1,
        "conflict_ids": [["t0", "t1"]],
    }


def test_leaks_are_those_counted_by_hand() -> None:
    assert check_rows(ROWS)["tasks"]["quora"]["leaks"] == {
        "train/dev": {
            "rows": 1,
            "rows_share": 0.25,
            "sentences": 3,
            "sentences_share": 0.75,
            "ids": [["t2", "d0"]],
        }
    }


def test_a_leak_is_counted_in_rows_of_the_later_split() -> None:
    one = single("sst", "train", [1.0], ["It rains ."])
    two = single("sst", "test", [1.0, 2.0], ["it RAINS .", "It  rains ."])
    leak = check_rows({("sst", "train"): one, ("sst", "test"): two})["tasks"]["sst"]["leaks"][
        "train/test"
    ]
    assert (leak["rows"], leak["rows_share"], leak["sentences"]) == (2, 1.0, 2)
    assert leak["ids"] == [["r0", "r0"], ["r0", "r1"]]


def test_scores_get_mean_spread_and_a_count_for_each_unit() -> None:
    part = check_rows({("sts", "dev"): single("sts", "dev", [0.0, 0.5, 1.0, 4.6, 5.0])})["tasks"][
        "sts"
    ]["splits"]["dev"]
    assert part["labels"]["counts"] == {"0-1": 2, "1-2": 1, "2-3": 0, "3-4": 0, "4-5": 2}
    assert part["labels"]["mean"] == pytest.approx(2.22)
    assert part["labels"]["sd"] == pytest.approx((22.768 / 4) ** 0.5)


def test_a_class_without_rows_is_counted_as_none_of_them() -> None:
    part = check_rows({("sst", "dev"): single("sst", "dev", [0.0, 4.0, 4.0])})["tasks"]["sst"][
        "splits"
    ]["dev"]
    assert part["labels"] == {"counts": {"0": 1, "1": 0, "2": 0, "3": 0, "4": 2}}


def test_what_cannot_be_known_is_none() -> None:
    hidden = single("sst", "test", None, ["It rains .", "It rains ."])
    part = check_rows({("sst", "test"): hidden})["tasks"]["sst"]["splits"]["test"]
    assert part["labels"] is None
    assert part["conflicts"] is None
    assert part["duplicates"] == 1
    one = check_rows({("sts", "dev"): single("sts", "dev", [2.0])})["tasks"]["sts"]["splits"]["dev"]
    assert one["labels"]["sd"] is None


def test_the_account_is_json_and_carries_the_fingerprint_of_the_whole() -> None:
    found = check_rows(ROWS)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["fingerprint"] == fingerprint(ROWS)


# The command.
@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part in ROWS.values():
        write_course(tmp_path, part)
    return tmp_path


def run(*arguments: str, **environment: str | None) -> Result:
    return CliRunner().invoke(data, ["check", *arguments], env={"COLUMNS": None, **environment})


def test_the_command_prints_the_same_numbers_as_json(folder: Path) -> None:
    result = run(str(folder), "--tasks", "quora", "--splits", "train,dev", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"source": str(folder), **check_rows(ROWS)}


def test_the_tables_hold_the_numbers_and_the_text_says_what_leaks_mean(folder: Path) -> None:
    result = run(str(folder), "--tasks", "quora", "--splits", "train,dev")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["quora", "train", "5", "0", "4", "5", "2", "1", TRAIN.fingerprint()] in lines
    assert ["quora", "train", "0:", "2", "1:", "3", "-", "-"] in lines
    assert ["quora", "train", "dev", "1", "25.0%", "3", "75.0%"] in lines
    assert "scores do not compare with GLUE tables" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    "environment", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}, {"COLUMNS": "60"}, {"COLUMNS": "200"}]
)
def test_away_from_a_terminal_there_are_no_escape_codes_and_lines_fit(
    environment: dict[str, str],
) -> None:
    result = run("sample", "--tasks", "sts", **environment)
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    assert "…" not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= int(environment.get("COLUMNS", "100"))


def test_the_sample_is_checked_without_a_name_and_the_example_in_the_help_runs() -> None:
    assert run("--splits", "dev").stdout.startswith("Data: sample, fingerprint ")
    help_text = run("-h").stdout
    [example] = re.findall(r"^\s*mtl data check (.*)$", help_text, re.MULTILINE)
    assert run(*example.split()).exit_code == 0


def test_bad_files_are_refused_with_all_their_problems_and_exit_code_2(folder: Path) -> None:
    for split in ("train", "dev"):
        with (folder / f"quora-{split}.csv").open("a", encoding="utf-8") as file:
            file.write("9\tz\tIs it ?\t\t7\n")
    result = run(str(folder), "--tasks", "quora", "--splits", "train,dev")
    assert isinstance(result.exception, DataError)
    assert result.exception.exit_code == 2
    places = re.findall(r"quora-(\w+)\.csv:(\d+): column '(\w+)'", str(result.exception))
    assert places == [
        ("train", "7", "sentence2"), ("train", "7", "is_duplicate"),
        ("dev", "6", "sentence2"), ("dev", "6", "is_duplicate"),
    ]  # fmt: skip
    assert result.stdout == ""


def test_bad_rows_can_be_left_out_and_are_counted_and_named(folder: Path) -> None:
    with (folder / "quora-dev.csv").open("a", encoding="utf-8") as file:
        file.write("9\tz\tIs it ?\t\t7\n")
    result = run(
        str(folder), "--tasks", "quora", "--splits", "dev", "--on-bad-row", "skip", "--json"
    )
    assert json.loads(result.stdout)["tasks"]["quora"]["splits"]["dev"]["left_out"] == 1
    assert result.stderr.startswith(f"left out: {folder}/quora-dev.csv:6: column 'sentence2'")


@pytest.mark.parametrize(
    ("option", "text"), [("--tasks", "sst,quorra"), ("--splits", "deb"), ("--tasks", ",")]
)
def test_an_unknown_name_is_answered_with_the_known_ones(option: str, text: str) -> None:
    result = run(option, text)
    assert isinstance(result.exception, ConfigError)
    assert option in str(result.exception)
    assert "expected some of" in str(result.exception)


@pytest.mark.skipif(not COURSE.is_dir(), reason="the course's files are not here")
def test_the_real_sts_split_shares_sentences_with_train() -> None:
    rows = load_rows(str(COURSE), ["sts"], ["train", "dev"])
    leak = check_rows(rows)["tasks"]["sts"]["leaks"]["train/dev"]
    plain = {
        split: [
            tuple(" ".join(text.lower().split()) for text in pair)
            for pair in zip(part.first, part.second or [], strict=True)
        ]
        for (_, split), part in rows.items()
    }
    train, dev = plain["train"], plain["dev"]
    known = {sentence for pair in train for sentence in pair}
    assert leak["sentences"] == sum(a in known or b in known for a, b in dev) == 185
    assert leak["rows"] == sum((a, b) in train or (b, a) in train for a, b in dev) == 14


@pytest.mark.skipif(not COURSE.is_dir(), reason="the course's files are not here")
def test_the_real_files_have_the_sizes_they_are_said_to_have() -> None:
    tasks: list[TaskName] = ["sst", "quora", "sts"]
    found = check_rows(load_rows(str(COURSE), tasks, SPLITS, on_bad_row="skip"))["tasks"]
    sizes = {
        name: [part["rows"] + part["left_out"] for part in found[name]["splits"].values()]
        for name in tasks
    }
    assert sizes == {
        "sst": [7257, 1101, 854],
        "quora": [14096, 2043, 2051],
        "sts": [5103, 863, 627],
    }
    assert [part["left_out"] for part in found["quora"]["splits"].values()] == [2, 0, 0]
