"""Tasks' own data: each format reads as the course's files do, and every bad row has its place."""

from __future__ import annotations

import csv
import hashlib
import io
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mtl.data.course.cells import row_problems
from mtl.data.course.files import read_course
from mtl.data.load import load_rows
from mtl.errors import DataError
from mtl.tasks.registry import TASKS
from mtl.tasks.task import Format, Split, TableData
from tests.conftest import write_tiny_data
from tests.table_tools import (
    DEV,
    FORMATS,
    SCORES,
    TRAIN,
    put,
    read,
    refusal,
    rows_of,
    task_of,
)

SPLITS: tuple[Split, ...] = ("train", "dev", "test")


# --- good data


@pytest.mark.parametrize("form", FORMATS)
def test_a_plain_file_is_read_as_it_stands(tmp_path: Path, form: Format) -> None:
    rows = rows_of(tmp_path, DEV, form)
    assert rows.ids == ["d", "e"]
    assert rows.first == ["a fish", "a bird"]
    assert rows.second is None
    assert rows.labels is not None
    assert rows.labels.dtype == float
    assert rows.labels.tolist() == [0.0, 1.0]
    assert (rows.split, rows.skipped) == ("dev", ())


def test_all_formats_give_the_same_rows(tmp_path: Path) -> None:
    prints = set()
    for form in FORMATS:
        folder = tmp_path / form
        folder.mkdir()
        prints.add(rows_of(folder, DEV, form).fingerprint())
    assert len(prints) == 1


@pytest.mark.parametrize("form", FORMATS)
def test_without_ids_a_rows_number_is_its_id(tmp_path: Path, form: Format) -> None:
    rows = rows_of(tmp_path, [*DEV, {"key": "f", "body": "", "topic": "sea"}, *TRAIN], form,
                   "skip", key=None)  # fmt: skip
    assert rows.ids == ["0", "1", "3", "4", "5"]
    assert len(rows.skipped) == 1


@pytest.mark.parametrize("form", FORMATS)
def test_two_columns_of_text_are_a_pair(tmp_path: Path, form: Format) -> None:
    lines = [{"key": "a", "x": "one", "y": "two", "topic": topic} for topic in ("sea", "sky")]
    lines = [line | {"key": str(number)} for number, line in enumerate(lines)]
    rows = rows_of(tmp_path, lines, form, train=lines, text=["y", "x"])
    assert (rows.first, rows.second) == (["two"] * 2, ["one"] * 2)


@pytest.mark.parametrize("task", ["sst", "quora", "sts"])
@pytest.mark.parametrize("split", SPLITS)
def test_a_course_file_read_as_tsv_is_the_same_rows(
    tmp_path: Path, task: str, split: Split
) -> None:
    write_tiny_data(tmp_path)
    shipped = TASKS[task]
    files = {name: shipped.file_name(name) for name in SPLITS}
    labels = list(shipped.class_names) if task != "sts" else None
    words = {str(place): name for place, name in enumerate(labels or [])}
    own = task_of(
        tmp_path, task=task, text=list(shipped.sentence_columns), label=shipped.label_column,
        labels=words or None, metric=shipped.metric,
        task_type="classification" if words else "regression",
        range=None if words else [0, 5], loss=shipped.loss,
        data={"path": "tsv", "data_files": files, "id": "id"},
    )  # fmt: skip
    assert own.identity() == shipped.identity()
    rows, course = read(own)[split], read_course(tmp_path, shipped, split)
    assert (rows.ids, rows.first, rows.second) == (course.ids, course.first, course.second)
    assert rows.labels is not None and course.labels is not None
    assert rows.labels.tolist() == course.labels.tolist()
    assert rows.fingerprint() == course.fingerprint()


cells = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\0\r"), min_size=1, max_size=20
).filter(lambda text: bool(text.strip()))


topics = st.sampled_from(["sea", "sky"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    lines=st.lists(
        st.fixed_dictionaries({"key": cells, "body": cells, "topic": topics}),
        min_size=1, max_size=6, unique_by=lambda line: line["key"],
    ),
    form=st.sampled_from(["csv", "tsv", "json", "parquet"]),
)  # fmt: skip
def test_what_is_written_is_read_back(
    tmp_path: Path, lines: list[dict[str, str]], form: Format
) -> None:
    rows = rows_of(tmp_path, lines, form)
    assert rows.ids == [line["key"] for line in lines]
    assert rows.first == [line["body"] for line in lines]
    assert rows.labels is not None
    assert rows.labels.tolist() == [["sea", "sky"].index(line["topic"]) for line in lines]


def test_encodings_and_line_ends_are_those_of_the_course_reader(tmp_path: Path) -> None:
    text = 'key,body,topic\nd,"a ""fish""\nswims",sea\ne,ä bird,sky\n'
    expected = rows_of(tmp_path, text)
    assert expected.first == ['a "fish"\nswims', "ä bird"]
    for raw in (
        text.encode("utf-8-sig"), text.encode("utf-16"), ("\ufeff" + text).encode("utf-16-be"),
        text.replace("ä bird,sky\n", "ä bird,sky").encode(),
    ):  # fmt: skip
        assert rows_of(tmp_path, raw).fingerprint() == expected.fingerprint()
    crlf = rows_of(tmp_path, "key,body,topic\r\nd,a fish,sea\r\ne,a bird,sky\r\n")
    assert crlf.fingerprint() == rows_of(tmp_path, DEV).fingerprint()


# --- labels


@pytest.mark.parametrize("form", FORMATS)
def test_words_that_are_whole_numbers_are_read_as_numbers(tmp_path: Path, form: Format) -> None:
    good = [{"key": "a", "body": "x", "topic": 1.0}, {"key": "b", "body": "y", "topic": 2.0}]
    words = {"1": "bad", "2": "good"}
    rows = rows_of(tmp_path, good, form, train=good, labels=words)
    assert rows.labels is not None
    assert rows.labels.tolist() == [0.0, 1.0]
    bad = [good[0] | {"topic": topic} for topic in (0.0, 1.5)]
    (line, *_) = refusal(tmp_path, bad[:1], form, train=good, labels=words)
    assert "expected one of '1', '2', got '0" in line
    (line, *_) = refusal(tmp_path, bad[1:], form, train=good, labels=words)
    assert "expected one of '1', '2', got '1.5'" in line


def test_true_and_false_of_json_are_words(tmp_path: Path) -> None:
    good = [{"key": "a", "body": "x", "topic": True}, {"key": "b", "body": "y", "topic": False}]
    rows = rows_of(tmp_path, good, "json", train=good, labels=["false", "true"])
    assert rows.labels is not None
    assert rows.labels.tolist() == [1.0, 0.0]


def test_dates_and_decimal_numbers_of_parquet_are_text(tmp_path: Path) -> None:
    from datetime import date
    from decimal import Decimal

    lines = [
        {"key": date(2020, 1, day), "body": "x", "topic": Decimal(f"{day}.50")} for day in (1, 2)
    ]
    rows = rows_of(tmp_path, lines, "parquet", train=lines, **SCORES)
    assert rows.ids == ["2020-01-01", "2020-01-02"]
    assert rows.labels is not None
    assert rows.labels.tolist() == [1.5, 2.5]


@pytest.mark.parametrize("form", FORMATS)
def test_only_test_may_lack_labels(tmp_path: Path, form: Format) -> None:
    put(tmp_path, "test", [{"key": "t", "body": "a ship"}], form)
    put(tmp_path, "train", TRAIN, form)
    put(tmp_path, "dev", DEV, form)
    assert read(task_of(tmp_path, form))["test"].labels is None
    put(tmp_path, "dev", [{"key": "t", "body": "a ship"}], form)
    with pytest.raises(DataError, match="column 'topic': expected, the data has 'key', 'body'"):
        read(task_of(tmp_path, form))


@pytest.mark.parametrize("form", FORMATS)
def test_a_misspelt_column_does_not_hide_the_labels_of_test(tmp_path: Path, form: Format) -> None:
    put(tmp_path, "test", [{"key": "t", "body": "a ship", "Topic": "sea"}], form)
    put(tmp_path, "train", TRAIN, form)
    put(tmp_path, "dev", DEV, form)
    with pytest.raises(DataError, match="Did you mean 'Topic'?"):
        read(task_of(tmp_path, form))


# --- splits that are cut


def whole(folder: Path, count: int, order: int = 0, form: Format = "csv") -> None:
    lines = [
        {"key": f"k{number}", "body": f"text {number}", "topic": ["sea", "sky"][number % 2]}
        for number in range(count)
    ]
    random.Random(order).shuffle(lines)
    put(folder, "train", lines, form)


def cut(folder: Path, share: float, **more: Any) -> dict[str, set[str]]:
    splits = {"dev": {"from": "train", "share": share}} | more
    return {split: set(rows.ids) for split, rows in read(task_of(folder, splits=splits)).items()}


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25
)
@given(count=st.integers(20, 60), share=st.floats(0.01, 0.6), order=st.integers(0, 9))
def test_a_cut_split_is_a_share_of_rows_by_id_alone(
    tmp_path: Path, count: int, share: float, order: int
) -> None:
    whole(tmp_path, count, order)
    parts = cut(tmp_path, share)
    assert len(parts["dev"]) == max(1, round(share * count))
    assert not parts["train"] & parts["dev"]
    assert len(parts["train"] | parts["dev"]) == count
    whole(tmp_path, count, order + 1)
    assert cut(tmp_path, share) == parts
    assert cut(tmp_path, min(0.9, share + 0.1))["dev"] >= parts["dev"]


def test_a_cut_takes_the_lowest_hashes_and_keeps_the_order_of_the_file(tmp_path: Path) -> None:
    whole(tmp_path, 30)
    task = task_of(tmp_path, splits={"dev": {"from": "train", "share": 0.2}})
    rows = read(task)
    ids = [line.split(",")[0] for line in (tmp_path / "train.csv").read_text().splitlines()[1:]]
    lowest = sorted(ids, key=lambda name: hashlib.sha256(f"cut-1\0{name}".encode()).digest())[:6]
    assert rows["dev"].ids == [name for name in ids if name in lowest]
    assert rows["train"].ids == [name for name in ids if name not in lowest]
    assert read(task, ["dev"])["dev"].fingerprint() == rows["dev"].fingerprint()


def test_two_splits_cut_from_one_share_no_row(tmp_path: Path) -> None:
    whole(tmp_path, 40)
    parts = cut(tmp_path, 0.2, test={"from": "train", "share": 0.1})
    assert {split: len(ids) for split, ids in parts.items()} == {"train": 28, "dev": 8, "test": 4}
    assert len(set.union(*parts.values())) == 40


def test_a_cut_leaves_rows(tmp_path: Path) -> None:
    put(tmp_path, "train", TRAIN[:1])
    with pytest.raises(DataError, match=r"too few rows \(1\) to cut 0.1 of them for dev"):
        cut(tmp_path, 0.1)


def test_skipped_rows_of_a_cut_file_are_counted_once(tmp_path: Path) -> None:
    whole(tmp_path, 30)
    with (tmp_path / "train.csv").open("a") as file:
        file.write("x,,sea\n")
    rows = read(task_of(tmp_path, splits={"dev": {"from": "train", "share": 0.2}}), SPLITS, "skip")
    assert [len(part.skipped) for part in rows.values()] == [1, 0]
    assert sum(map(len, rows.values())) == 30


# --- with others


def test_own_tasks_and_the_courses_are_read_together(tmp_path: Path) -> None:
    put(tmp_path, "train", TRAIN)
    put(tmp_path, "dev", [*DEV, {"key": "f", "body": "", "topic": "sea"}])
    with TASKS.using([task_of(tmp_path)]):
        with pytest.raises(DataError) as error:
            load_rows(str(tmp_path / "nowhere"), ("mine", "sst"), ("train", "dev"))
        said = str(error.value)
        assert "dev.csv:4: column 'body'" in said
        assert "nowhere: no such folder" in said
        rows = load_rows(str(tmp_path / "nowhere"), ("mine",), ("train",))
        assert list(rows) == [("mine", "train")]
        rows = load_rows("sample", ("sst", "mine"), ("train",))
        assert list(rows) == [("sst", "train"), ("mine", "train")]


def test_a_split_that_a_task_lacks_is_an_error_unless_optional(tmp_path: Path) -> None:
    put(tmp_path, "train", TRAIN)
    with TASKS.using([task_of(tmp_path)]):
        with pytest.raises(
            DataError, match="its data has no dev split and no test split|no dev and"
        ):
            load_rows("sample", ("mine",), SPLITS)
        rows = load_rows("sample", ("mine",), SPLITS, optional=("dev", "test"))
        assert list(rows) == [("mine", "train")]


# --- any text


pieces = st.sampled_from('a|b|c|,|,sea|,sky|,x,sea\n|,y,sky\n|"|""|"x, y"|\n| '.split("|"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.lists(pieces, max_size=20).map("".join))
@example('a,"x, y",sea\nb,"x\n\n""y""",sky\n\nc, ,sea')
@example('a,x,sea\nb,"x, y",sky\nc,"",sea\n')
def test_whatever_stands_in_a_file_no_row_is_lost_without_an_error(
    tmp_path: Path, text: str
) -> None:
    raw = f"key,body,topic\n{text}\n"
    try:
        rows = rows_of(tmp_path, raw)
    except DataError:
        return
    records = [record for record in csv.reader(io.StringIO(raw), strict=True) if record]
    assert [rows.ids, rows.first] == [list(column) for column in zip(*records[1:], strict=True)][:2]
    for record in records[1:]:
        cells = {"id": record[0], "body": record[1], "topic": record[2]}
        assert row_problems(rows.task, cells, labelled=True) == []


def test_the_tables_of_a_task_know_their_places(tmp_path: Path) -> None:
    task = task_of(tmp_path, data={"path": "csv", "data_files": {"train": "x/../a.csv"}})
    assert isinstance(task.data, TableData)
    assert task.data.files == {"train": tmp_path / "a.csv"}
