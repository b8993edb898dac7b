"""`mtl tasks new`: what it guesses, and that it writes only what `mtl tasks check` takes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtl.documents.yaml_file import parse_yaml
from mtl.tasks.registry import TASKS
from tests.cli_tools import mtl
from tests.tasks_tools import done, refused, write


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


def new(text: str, *words: str, name: str = "mine", file: str = "rows.csv") -> dict[str, Any]:
    """The keys of the file that `new` writes for these rows. It passes `mtl tasks check`."""
    write(file, text)
    printed = done("tasks", "new", name, "--from", file, *words)
    assert printed == f"tasks/{name}.yaml written. Read it, then: mtl tasks check {name}\n"
    done("tasks", "check", name)
    value: dict[str, Any] = parse_yaml(Path(f"tasks/{name}.yaml").read_text("utf-8")).value
    return value


def table(columns: str, count: int, row: Any, mark: str = ",") -> str:
    lines = [columns, *(mark.join(map(str, row(number))) for number in range(count))]
    return "\n".join(lines) + "\n"


TEXT = "the quick brown fox jumps over the lazy dog"


def test_new_writes_a_task_that_passes_its_check() -> None:
    rows = table("id,title,review,kind", 60, lambda n: (n, "a title", TEXT, ["b", "a", "c"][n % 3]))
    value = new(rows)
    assert value == {
        "task": "mine", "task_type": "classification", "text": "review", "label": "kind",
        "labels": ["a", "b", "c"], "metric": "macro_f1",
        "data": {
            "path": "csv", "data_files": {"train": "../rows.csv"}, "id": "id",
            "splits": {"train": "train", "dev": {"from": "train", "share": 0.1}, "test": None},
        },
    }  # fmt: skip
    text = Path("tasks/mine.yaml").read_text("utf-8")
    assert len(re.findall("^# ", text, re.M)) >= 4


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (lambda n: n % 2, {"labels": ["0", "1"], "metric": "accuracy"}),
        (lambda n: f"{n % 5 + 1}.0", {"labels": ["1", "2", "3", "4", "5"], "metric": "macro_f1"}),
        (lambda n: ["no", "null"][n % 2], {"labels": ["no", "null"], "metric": "accuracy"}),
        (lambda n: n % 8 - 1, {"labels": ["-1", "0", "1", "2", "3", "4", "5", "6"]}),
        (lambda n: n / 7, {"range": [0, 9], "metric": "pearson"}),
        (lambda n: n + 100, {"range": [100, 159], "metric": "pearson"}),
    ],
)
def test_new_tells_classes_from_scores(labels: Any, expected: dict[str, Any]) -> None:
    value = new(table("text,label", 60, lambda n: (TEXT, labels(n))))
    assert {key: value[key] for key in expected} == expected
    kind = "regression" if "range" in expected else "classification"
    assert value["task_type"] == kind


@pytest.mark.parametrize(
    ("first", "second"),
    [("premise", "hypothesis"), ("sentence1", "sentence2"), ("text_a", "text_b"), ("q1", "q2")],
)
def test_new_sees_pairs(first: str, second: str) -> None:
    columns = "\t".join((first, second, "other", "mos"))
    rows = table(columns, 40, lambda n: (TEXT, TEXT, "x", n / 8), "\t")
    value = new(rows, file="rows.tsv")
    assert value["text"] == [first, second]
    assert (value["label"], value["data"]["path"]) == ("mos", "tsv")
    assert value["range"] == [0, 5]


def test_new_reads_json_lines_and_parquet() -> None:
    rows = [{"text": TEXT, "stars": n % 3, "tags": ["x"], "note": None} for n in range(30)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    assert new(lines, file="rows.jsonl")["labels"] == ["0", "1", "2"]
    parquet = pytest.importorskip("pyarrow.parquet")
    arrow = pytest.importorskip("pyarrow")
    parquet.write_table(arrow.Table.from_pylist(rows), "rows.parquet")
    done("tasks", "new", "second", "--from", "rows.parquet")
    done("tasks", "check", "second")


def test_new_takes_files_of_dev_and_test_and_their_labels() -> None:
    write("dev.csv", table("text,label", 9, lambda n: (TEXT, n + 0.5)))
    write("test.csv", "text\nhello there\n")
    rows = table("text,label", 9, lambda n: (TEXT, n / 9))
    value = new(rows, "--dev", "dev.csv", "--test", "test.csv")
    assert value["data"]["splits"] == {"train": "train", "dev": "dev", "test": "test"}
    assert value["range"] == [0, 9]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30
)
@given(
    names=st.lists(st.text("ab1_: #'é\"-", min_size=1, max_size=6).map(str.strip).filter(bool),
                   min_size=2, max_size=2, unique=True),
    words=st.lists(st.text("ab1.: #'é-", min_size=1, max_size=5).map(str.strip).filter(bool),
                   min_size=2, max_size=3, unique=True),
)  # fmt: skip
def test_whatever_new_writes_passes_its_check(names: list[str], words: list[str]) -> None:
    """Words and columns of any spelling: a file that passes, or an error and no file."""
    Path("tasks/any.yaml").unlink(missing_ok=True)
    TASKS.forget()
    lines = [dict(zip(names, (TEXT, words[n % len(words)]), strict=True)) for n in range(40)]
    write("rows.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    result = mtl("tasks", "new", "any", "--from", "rows.jsonl")
    if result.exit_code:
        assert result.exit_code == 2, result.output
        assert not Path("tasks/any.yaml").exists()
    else:
        done("tasks", "check", "any")


GOOD = table("text,label", 20, lambda n: (TEXT, n % 2))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "rows.csv: the file is empty"),
        ("text,label\n", "rows.csv:1: no rows below the header"),
        ("text\nhello\n", "no column of labels was found among 'text'"),
        (
            "text,label\none two three,a\none two,a\nthree,a\n",
            "no column of labels was found",
        ),
        ("label\na\nb\n", "no column of text was found beside 'label'"),
        ("text,text,label\nx,y,a\n", "rows.csv:1: column 'text': stands twice"),
        (GOOD + ",1\n", "rows.csv:22: column 'text': expected a sentence"),
        (GOOD + "x,y,z\n", "rows.csv:22: expected 2 cells as in the header, got 3"),
        ('text,label\n"x,a\ny,b\n', "rows.csv:2: column 'text': the quote that opens here"),
        ("text,label\nhello there,a\nbye now,b\n", "no training row has the label"),
    ],
)
def test_new_writes_nothing_for_rows_that_cannot_be_used(text: str, said: str) -> None:
    write("rows.csv", text)
    lines = refused("tasks", "new", "mine", "--from", "rows.csv")
    assert said in lines[0]
    assert lines[-1] == "tasks/mine.yaml is not written."
    assert not Path("tasks").exists()


def test_new_leaves_out_bad_rows_where_told() -> None:
    write("rows.csv", GOOD + ",1\nx,y,z\n")
    done("tasks", "new", "mine", "--from", "rows.csv", "--on-bad-row", "skip")
    done("tasks", "check", "mine", "--on-bad-row", "skip")


def test_new_needs_the_same_columns_in_dev() -> None:
    write("rows.csv", GOOD)
    write("dev.csv", GOOD.replace("text", "txet"))
    lines = refused("tasks", "new", "mine", "--from", "rows.csv", "--dev", "dev.csv")
    assert lines[0].startswith("dev.csv:1: column 'text': expected, the data has 'txet', 'label'")
    assert not Path("tasks").exists()


@pytest.mark.parametrize("suffix", [".xlsx", ".txt", ""])
def test_new_names_the_endings_that_it_reads(suffix: str) -> None:
    write(f"rows{suffix}", GOOD)
    (line,) = refused("tasks", "new", "mine", "--from", f"rows{suffix}")
    assert line.startswith(f"rows{suffix}: expected a file that ends in .csv, .tsv")


def test_new_never_writes_over_a_file() -> None:
    write("rows.csv", GOOD)
    kept = write("tasks/mine.yaml", "mine\n")
    (line,) = refused("tasks", "new", "mine", "--from", "rows.csv")
    assert line.startswith("tasks/mine.yaml: is there already")
    assert kept.read_text() == "mine\n"
    (line,) = refused("tasks", "new", "sst", "--from", "rows.csv")
    assert line.startswith("task sst: is there already")


@pytest.mark.parametrize("name", ["a b", "../x", "x.yaml", "1a", "", "é", "overall", "auto"])
def test_new_takes_only_names_that_a_task_can_have(name: str) -> None:
    write("rows.csv", GOOD)
    (line,) = refused("tasks", "new", name, "--from", "rows.csv")
    assert "expected a name of letters" in line or "has a meaning of its own" in line
    assert not Path("tasks").exists()


def test_new_names_a_missing_file() -> None:
    write("rows.csv", GOOD)
    lines = refused("tasks", "new", "mine", "--from", "row.csv")
    assert lines[0] == "row.csv: no such file. Did you mean 'rows.csv'?"


MANY = table(
    "one,text,kind,note", 30, lambda n: (TEXT, f"{TEXT} {n}", n % 2, ["x", "y", ""][n % 3])
)


def test_new_takes_the_columns_that_it_is_told() -> None:
    value = new(MANY)
    assert (value["text"], value["label"]) == ("text", "kind")  # note has empty cells
    value = new(MANY, "--text", "text", "--text", "one", "--label", "kind", name="pair")
    assert (value["text"], value["label"]) == (["text", "one"], "kind")
    value = new(MANY, "--text", "one", name="first")
    assert (value["text"], value["label"]) == ("one", "kind")
    lines = refused("tasks", "new", "other", "--from", "rows.csv", "--label", "note")
    assert "column 'note': expected one of 'x', 'y', the label is missing" in lines[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--label", "Kind"), "rows.csv: no column 'Kind'; there are 'one', 'text', 'kind',"),
        (("--text", "one", "--label", "one"), "rows.csv: the column 'one' is named twice"),
        (("--text", "one") * 2, "rows.csv: the column 'one' is named twice"),
    ],
)
def test_new_refuses_columns_that_are_not_there(words: tuple[str, ...], said: str) -> None:
    write("rows.csv", MANY)
    lines = refused("tasks", "new", "mine", "--from", "rows.csv", *words)
    assert lines[0].startswith(said)
    assert not Path("tasks").exists()
