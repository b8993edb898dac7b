"""Bad rows and files of tasks' own data: each is one clear error with its place and remedy."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest

from mtl.errors import DataError
from mtl.tasks.task import Format
from tests.table_tools import (
    ADVICE,
    DEV,
    ENDINGS,
    FORMATS,
    SCORES,
    TRAIN,
    Lines,
    put,
    read,
    refusal,
    rows_of,
    task_of,
)

# --- bad rows


def bad(**changes: Any) -> Lines:
    return [*DEV, {"key": "f", "body": "a ship", "topic": "sea"} | changes]


PLACES = {"csv": "dev.csv:4", "tsv": "dev.tsv:4", "json": "dev.jsonl:3",
          "parquet": "dev.parquet: row 2"}  # fmt: skip


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"topic": "skye"},
            "column 'topic': expected one of 'sea', 'sky', got 'skye'. Did you mean",
        ),
        ({"topic": "SEA"}, "Did you mean 'sea'?"),
        ({"topic": ""}, "column 'topic': expected one of 'sea', 'sky', the label is missing"),
        ({"body": ""}, "column 'body': expected a sentence, the cell is empty"),
        ({"body": " \t"}, "column 'body': expected a sentence, the cell holds only white space"),
        ({"key": ""}, "column 'key': expected an id, the cell is empty"),
        ({"body": "x\0y"}, "column 'body': NUL character"),
    ],
)
def test_a_bad_cell_has_its_place_and_remedy_in_every_format(
    tmp_path: Path, form: Format, changes: dict[str, str], said: str
) -> None:
    lines = refusal(tmp_path, bad(**changes), form)
    assert lines[0].startswith(f"{PLACES[form]}: ")
    assert said in lines[0]
    assert lines[1:] == [ADVICE]
    rows = rows_of(tmp_path, bad(**changes), form, "skip")
    assert rows.ids == ["d", "e"]
    (skipped,) = rows.skipped
    assert skipped.replace(f"{tmp_path}/", "") == lines[0]


@pytest.mark.parametrize("form", FORMATS)
def test_an_id_that_stands_twice_is_named_with_both_places(tmp_path: Path, form: Format) -> None:
    (line, _) = refusal(tmp_path, bad(key="d"), form)
    first = {"csv": "dev.csv:2", "tsv": "dev.tsv:2", "json": "dev.jsonl:1",
             "parquet": "dev.parquet: row 0"}[form]  # fmt: skip
    assert line == (
        f"{PLACES[form]}: column 'key': expected each id once, 'd' stands in {first} too. "
        "Change one"
    )


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("score", "said"),
    [("5.5", "out of range"), ("nan", "not finite"), ("inf", "not finite"),
     ("1e999", "out of range"), ("many", "not a number"), ("", "the label is missing")],
)  # fmt: skip
def test_a_score_is_a_finite_number_in_the_range(
    tmp_path: Path, form: Format, score: str, said: str
) -> None:
    good = [line | {"topic": "0.5"} for line in TRAIN]
    dev = [line | {"topic": score} for line in DEV]
    ranges = [[0, 5]] if score == "5.5" else [[0, 5], None]
    for bounds in ranges:
        lines = refusal(tmp_path, dev, form, train=good, range=bounds, **SCORES)
        assert said in lines[0]
        expected = "a number from 0 to 5" if bounds else "a number"
        assert f"column 'topic': expected {expected}, " in lines[0]


@pytest.mark.parametrize("form", FORMATS)
def test_numbers_of_any_type_are_scores(tmp_path: Path, form: Format) -> None:
    values = [0, -2.5, 1e-7, 123456789.125, math.pi]
    lines = [
        {"key": str(place), "body": "x", "topic": float(value)}
        for place, value in enumerate(values)
    ]
    rows = rows_of(tmp_path, lines, form, train=lines, **SCORES)
    assert rows.labels is not None
    assert rows.labels.tolist() == values


def test_all_problems_of_all_files_are_one_error(tmp_path: Path) -> None:
    put(tmp_path, "test", "key,body\nt,\n")
    lines = refusal(
        tmp_path,
        [{"key": "d", "body": "", "topic": "see"}, {"key": "d", "body": "x", "topic": "sky"}],
        train=[*TRAIN, {"key": "x", "body": "y", "topic": "ground"}],
    )
    places = [line.split(": ")[0] for line in lines if line != ADVICE]
    assert places == ["train.csv:5", "dev.csv:2", "dev.csv:3"]
    assert "column 'body'" in lines[2] and "column 'topic'" in lines[2]


def test_twenty_problems_of_a_file_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    dev = [{"key": str(number), "body": "x", "topic": "soil"} for number in range(33)]
    lines = refusal(tmp_path, dev)
    assert [line.split(": ")[0] for line in lines[:20]] == [f"dev.csv:{n}" for n in range(2, 22)]
    assert lines[20:] == ["and 13 more", ADVICE]


def test_a_file_of_bad_rows_alone_is_refused_when_skipping_too(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected rows, all of them are bad"):
        rows_of(tmp_path, [{"key": "d", "body": "x", "topic": "soil"}], on_bad_row="skip")


def test_each_class_needs_a_training_row(tmp_path: Path) -> None:
    put(tmp_path, "train", TRAIN)
    put(tmp_path, "dev", DEV)
    with pytest.raises(DataError) as error:
        read(task_of(tmp_path, labels=["sea", "sky", "soil", "fire"], metric="macro_f1"))
    assert "no training row has the label 'soil', 'fire'" in str(error.value)
    rows = rows_of(tmp_path, DEV[:1])
    assert rows.labels is not None
    assert rows.labels.tolist() == [0.0]


# --- columns


@pytest.mark.parametrize("form", FORMATS)
def test_missing_columns_are_named_with_the_nearest(tmp_path: Path, form: Format) -> None:
    dev = [{"KEY": "d", "bodi": "x", "topics": "sea"}]
    lines = refusal(tmp_path, dev, form)
    for column, near in (("body", "bodi"), ("topic", "topics"), ("key", "KEY")):
        (line,) = (line for line in lines if f"column {column!r}: expected" in line)
        assert f"Did you mean {near!r}?" in line
        assert line.startswith("dev.")


def test_columns_that_are_not_needed_may_hold_anything(tmp_path: Path) -> None:
    lines = [line | {"more": [1, {"x": None}], "raw": "z"} for line in DEV]
    expected = rows_of(tmp_path, DEV, "json").fingerprint()
    assert rows_of(tmp_path, lines, "json").fingerprint() == expected
    assert (
        rows_of(tmp_path, [line | {"more": [1]} for line in DEV], "parquet").fingerprint()
        == expected
    )


@pytest.mark.parametrize("form", ["csv", "tsv"])
def test_a_needed_column_stands_once(tmp_path: Path, form: Format) -> None:
    text = "key,body,body,topic\nd,x,y,sea\n"
    lines = refusal(tmp_path, text if form == "csv" else text.replace(",", "\t"), form)
    assert lines == [f"dev.{form}:1: column 'body': stands twice. Remove or rename one"]
    text = "key,body,,,topic\nd,x,y,z,sea\n"
    assert rows_of(tmp_path, text).first == ["x"]


def test_a_column_of_parquet_stands_once(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    put(tmp_path, "train", TRAIN, "parquet")
    columns = [pa.array(["x"]) for _ in range(4)]
    table = pa.table(columns, names=["key", "body", "body", "topic"])
    parquet.write_table(table, tmp_path / "dev.parquet")
    with pytest.raises(DataError, match="column 'body': stands twice"):
        read(task_of(tmp_path, "parquet"))


# --- files


def test_a_wrong_number_of_cells_is_a_bad_row(tmp_path: Path) -> None:
    text = "key,body,topic\nd,a fish,sea\ne,a bird, blue,sky\nf,a bird\n"
    lines = refusal(tmp_path, text)
    assert lines[0].startswith("dev.csv:3: expected 3 cells as in the header, got 4")
    assert lines[1].startswith("dev.csv:4: expected 3 cells as in the header, got 2")
    assert rows_of(tmp_path, text, on_bad_row="skip").ids == ["d"]


@pytest.mark.parametrize("mode", ["error", "skip"])
def test_a_quote_that_swallows_rows_cannot_be_skipped(tmp_path: Path, mode: Any) -> None:
    text = 'key,body,topic\nd,"a fish,sea\ne,a bird,sky\nf,a "ship,sea\n'
    with pytest.raises(DataError, match=r"dev\.csv:2: column 'body': the quote that opens here"):
        rows_of(tmp_path, text, on_bad_row=mode)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "dev.csv: the file is empty"),
        (b"\n\n", "dev.csv: the file is empty"),
        (b"key,body,topic\n", "dev.csv:1: expected rows, there are none"),
        (b"key,body,topic\nd,caf\xe9,sea\n", "dev.csv:2: expected UTF-8, got the byte 0xe9"),
        (b"key;body;topic\nd;x;sea\n", "expected commas between the columns, got semicolons"),
        (b"key\tbody\ttopic\nd\tx\tsea\n", "got tabs. Save it with commas, or set path: tsv."),
        (b"key,body,topic\rd,x,sea\r", "dev.csv:1: column 3: a carriage return stands alone"),
    ],
)
def test_a_file_that_is_no_table_is_one_line(tmp_path: Path, raw: bytes, said: str) -> None:
    lines = refusal(tmp_path, raw)
    assert said in lines[0]
    assert len(lines) == 1


@pytest.mark.parametrize("form", FORMATS)
def test_a_missing_file_is_named_with_the_nearest(tmp_path: Path, form: Format) -> None:
    end = ENDINGS[form]
    put(tmp_path, "train", TRAIN, form)
    put(tmp_path, "devel", DEV, form)
    data = {"path": form, "data_files": {"train": f"train.{end}", "dev": f"dev.{end}"}}
    with pytest.raises(DataError) as error:
        read(task_of(tmp_path, form, data=data))
    said = str(error.value).replace(f"{tmp_path}/", "")
    assert said == f"dev.{end}: no such file. Did you mean 'devel.{end}'?"
    with pytest.raises(DataError, match="a folder, not a file"):
        read(task_of(tmp_path, form, data=data | {"data_files": {"train": ".", "dev": ".."}}))


@pytest.mark.parametrize("indent", [None, 1])
def test_a_json_array_is_one_clear_error(tmp_path: Path, indent: int | None) -> None:
    (line,) = refusal(tmp_path, json.dumps(list(DEV), indent=indent), "json")
    assert line.startswith("dev.jsonl:1: a JSON array. Write one object a line")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{oops}", "not JSON at character 2"),
        ("[1, 2]", "expected an object, got '[1, 2]'"),
        ("7", "expected an object, got '7'"),
        ('{"key": "f", "key": "g", "body": "x", "topic": "sea"}', "a key stands twice"),
        ('{"key": "f", "topic": "sea"}', "column 'body': expected a sentence, the cell is empty"),
        ('{"key": "f", "body": ["x"], "topic": "sea"}', "column 'body': expected text or a number"),
        ('{"key": "f", "body": "x", "topic": {"a": 1}}', "column 'topic': expected text or"),
        ('{"key": "f", "body": "\\ud800", "topic": "sea"}', "half a surrogate pair"),
        ("[" * 100_000, "nested too deep"),
    ],
)  # fmt: skip
def test_a_bad_line_of_json_is_a_bad_row(tmp_path: Path, line: str, said: str) -> None:
    text = "".join(json.dumps(row) + "\n" for row in DEV) + f"\n{line}\n"
    lines = refusal(tmp_path, text, "json")
    assert lines[0].startswith("dev.jsonl:4: ")
    assert said in lines[0]
    assert rows_of(tmp_path, text, "json", "skip").ids == ["d", "e"]


@pytest.mark.parametrize("raw", [b"", b"hello", b"PAR1" * 10])
def test_a_damaged_parquet_file_is_one_line(tmp_path: Path, raw: bytes) -> None:
    (line,) = refusal(tmp_path, raw, "parquet")
    assert line.startswith("dev.parquet: not a Parquet file: ")


def test_a_cut_off_parquet_file_is_one_line(tmp_path: Path) -> None:
    raw = put(tmp_path, "whole", DEV, "parquet").read_bytes()
    (line,) = refusal(tmp_path, raw[:-20], "parquet")
    assert line.startswith("dev.parquet: not a Parquet file: ")


def test_parquet_without_its_package_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "dev", DEV, "parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    put(tmp_path, "train", b"", "parquet")
    with pytest.raises(DataError, match=r"pip install 'mtl-ablate\[hub\]'"):
        read(task_of(tmp_path, "parquet"), ["dev"])
