"""The course-file reader reads good files unchanged and names every bad cell with its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mtl.data.course.files import read_course
from mtl.errors import DataError
from mtl.tasks.registry import TASKS
from mtl.tasks.task import TaskName
from tests.course_tools import QUORA, SST, STS, put, refusal


def test_a_plain_file_is_read_as_it_stands(tmp_path: Path) -> None:
    put(
        tmp_path,
        "quora",
        "0\taa1\tIs it wet ?\tIs it dry ?\t0.0\n1\tbb2\tWhy rain ?\tWhy does it rain ?\t1.0\n",
    )
    rows = read_course(tmp_path, QUORA, "dev")
    assert rows.ids == ["aa1", "bb2"]
    assert rows.first == ["Is it wet ?", "Why rain ?"]
    assert rows.second == ["Is it dry ?", "Why does it rain ?"]
    assert rows.labels is not None
    assert rows.labels.tolist() == [0.0, 1.0]
    assert rows.labels.dtype == np.float64
    assert rows.skipped == ()
    assert rows.task is QUORA
    assert rows.split == "dev"


def test_spaces_at_the_ends_of_a_sentence_are_kept(tmp_path: Path) -> None:
    put(tmp_path, "sst", "0\ta\t It 's wet . \t3\n")
    assert read_course(tmp_path, SST, "dev").first == [" It 's wet . "]


def test_default_quoting_is_respected(tmp_path: Path) -> None:
    # A quoted cell loses its quotes and halves doubled ones; in a plain cell a quote is a letter.
    put(tmp_path, "sst", '0\ta\t"He said ""no"" ."\t3\n1\tb\ta 5" nail\t2\n2\tc\t"""quoted"""\t1\n')
    assert read_course(tmp_path, SST, "dev").first == ['He said "no" .', 'a 5" nail', '"quoted"']


def test_words_that_mean_missing_elsewhere_are_sentences_here(tmp_path: Path) -> None:
    put(tmp_path, "sst", "0\ta\tNA\t3\n1\tb\tnull\t2\n2\tc\tNone\t1\n3\td\t-\t1\n")
    assert read_course(tmp_path, SST, "dev").first == ["NA", "null", "None", "-"]


def test_columns_that_are_not_needed_and_their_order_do_not_matter(tmp_path: Path) -> None:
    whole = b"note\tsentiment\tid\tsentence\tnote\nx\t3\ta\tIt rains .\ty\n"
    put(tmp_path, "sst", whole)
    rows = read_course(tmp_path, SST, "dev")
    assert rows.labels is not None
    assert (rows.ids, rows.first, rows.labels.tolist()) == (["a"], ["It rains ."], [3.0])


def test_crlf_blank_lines_and_a_missing_last_line_end_are_fine(tmp_path: Path) -> None:
    put(
        tmp_path,
        "sst",
        b"\tid\tsentence\tsentiment\r\n0\ta\tIt rains .\t3\r\n\r\n1\tb\tIt pours .\t2",
    )
    rows = read_course(tmp_path, SST, "dev")
    assert rows.first == ["It rains .", "It pours ."]
    assert rows.labels is not None
    assert rows.labels.tolist() == [3.0, 2.0]


@pytest.mark.parametrize(
    "char", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\ufeff", "\u200b", "😀"]
)
def test_line_separators_of_other_alphabets_do_not_end_a_row(tmp_path: Path, char: str) -> None:
    put(tmp_path, "sst", f"0\ta\tIt{char}rains .\t3\n1\tb\tIt pours .\tx\n")
    with pytest.raises(DataError, match=r"ids-sst-dev\.csv:3: column 'sentiment'"):
        read_course(tmp_path, SST, "dev")
    put(tmp_path, "sst", f"0\ta\tIt{char}rains .\t3\n")
    assert read_course(tmp_path, SST, "dev").first == [f"It{char}rains ."]


def test_a_line_break_in_quotes_is_text_and_later_lines_are_still_counted_right(
    tmp_path: Path,
) -> None:
    body = '0\ta\t"It rains .\nIt pours .\r\nIt stops ."\t3\n1\tb\tIt shines .\tmany\n'
    assert refusal(tmp_path, "sst", body)[0].startswith("ids-sst-dev.csv:5: column 'sentiment': ")
    put(tmp_path, "sst", body.replace("many", "4"))
    assert read_course(tmp_path, SST, "dev").first[0] == "It rains .\nIt pours .\r\nIt stops ."


# Cells: one bad row in line 3, between two good ones.
@pytest.mark.parametrize(
    ("task", "row", "column", "words"),
    [
        ("sst", "1\tb\t\t3", "sentence", "the cell is empty"),
        ("sst", "1\tb\t \u00a0 \t3", "sentence", "holds only white space"),
        ("sst", "1\tb\tIt \0 pours\t3", "sentence", "NUL character in 'It \\x00 pours'"),
        ("sts", "1\tb\tIt pours .\t\t3", "sentence2", "the cell is empty"),
        ("sst", "1\t\tIt pours .\t3", "id", "expected an id, the cell is empty"),
        ("sst", "1\ta\tIt pours .\t3", "id", "'a' stands in line 2 too"),
        ("sst", "1\tb\tIt pours .\t", "sentiment", "the label is missing"),
        (
            "sst",
            "1\tb\tIt pours .\tgood",
            "sentiment",
            "a whole number from 0 to 4, got 'good', which is not a number",
        ),
        ("sst", "1\tb\tIt pours .\t1_0", "sentiment", "got '1_0', which is not a number"),
        ("sst", "1\tb\tIt pours .\t\uff13", "sentiment", "which is not a number"),
        ("sst", "1\tb\tIt pours .\tnan", "sentiment", "got 'nan', which is not finite"),
        (
            "sts",
            "1\tb\tIt pours .\tIt rains .\t-inf",
            "similarity",
            "got '-inf', which is not finite",
        ),
        (
            "sts",
            "1\tb\tIt pours .\tIt rains .\t1e999",
            "similarity",
            "a number from 0 to 5, got '1e999'",
        ),
        ("sst", "1\tb\tIt pours .\t5", "sentiment", "got '5', which is out of range"),
        ("sst", "1\tb\tIt pours .\t-1", "sentiment", "got '-1', which is out of range"),
        (
            "sst",
            "1\tb\tIt pours .\t2.5",
            "sentiment",
            "expected a whole number from 0 to 4, got '2.5'",
        ),
        (
            "quora",
            "1\tb\tIt pours .\tIt rains .\t0.5",
            "is_duplicate",
            "a whole number from 0 to 1, got '0.5'",
        ),
        ("quora", "1\tb\tIt pours .\tIt rains .\t2.0", "is_duplicate", "out of range"),
        ("sts", "1\tb\tIt pours .\tIt rains .\t5.01", "similarity", "out of range"),
    ],
)
def test_a_bad_cell_is_named_with_line_and_column_and_skipping_leaves_out_that_row_only(
    tmp_path: Path, task: TaskName, row: str, column: str, words: str
) -> None:
    good = "{}\t{}\tIt rains .\t" + ("" if task == "sst" else "It drips .\t") + "1\n"
    body = good.format(0, "a") + row + "\n" + good.format(2, "c")
    name = TASKS[task].file_name("dev")
    lines = refusal(tmp_path, task, body)
    assert lines[0].startswith(f"{name}:3: column '{column}': ")
    assert words in lines[0]
    assert len(lines) == 2
    assert "on_bad_row='skip'" in lines[1]
    rows = read_course(tmp_path, TASKS[task], "dev", on_bad_row="skip")
    assert rows.ids == ["a", "c"]
    assert [message.replace(f"{tmp_path}/", "") for message in rows.skipped] == [lines[0]]


@pytest.mark.parametrize("label", ["3", "3.0", " 3 ", "+3", "30e-1", "3."])
def test_a_whole_number_may_be_written_in_several_ways(tmp_path: Path, label: str) -> None:
    put(tmp_path, "sst", f"0\ta\tIt rains .\t{label}\n")
    assert read_course(tmp_path, SST, "dev").labels.tolist() == [3.0]  # type: ignore[union-attr]


def test_all_problems_come_at_once_in_the_order_of_lines(tmp_path: Path) -> None:
    lines = refusal(tmp_path, "sts", "0\ta\t\tIt rains .\t9\n1\tb\tx\n2\ta\tIt\tIs\t1\n")
    places = [line.split(": expected")[0] for line in lines[:-1]]
    name = "sts-dev.csv"
    assert places == [
        f"{name}:2: column 'sentence1'",
        f"{name}:2: column 'similarity'",
        f"{name}:3",
        f"{name}:4: column 'id'",
    ]


def test_a_bad_row_is_one_skipped_message_however_many_faults_it_has(tmp_path: Path) -> None:
    put(tmp_path, "sts", "0\ta\t\tIt rains .\t9\n1\tb\tIt\tIs\t1\n")
    rows = read_course(tmp_path, STS, "dev", on_bad_row="skip")
    assert len(rows) == 1
    assert len(rows.skipped) == 1
    assert "column 'sentence1'" in rows.skipped[0]
    assert "column 'similarity'" in rows.skipped[0]


def test_twenty_problems_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    lines = refusal(tmp_path, "sst", "".join(f"{n}\tid{n}\tIt rains .\t7\n" for n in range(33)))
    assert [int(line.split(":")[1]) for line in lines[:20]] == list(range(2, 22))
    assert lines[20] == "and 13 more"
    assert len(lines) == 22


def test_the_two_unlabelled_rows_of_the_published_quora_file_are_always_left_out_and_counted(
    tmp_path: Path,
) -> None:
    body = "0\taa1\tIs it wet ?\tIs it dry ?\t0.0\n1\tad118c967d683c93883bf072d\tWhy ?\tHow ?\t\n"
    put(tmp_path, "quora", body, "train")
    rows = read_course(tmp_path, QUORA, "train")
    assert rows.ids == ["aa1"]
    assert len(rows.skipped) == 1
    put(tmp_path, "quora", body + "2\tbb2\tWhy ?\tHow ?\t\n", "train")
    with pytest.raises(DataError, match="quora-train.csv:4") as error:
        read_course(tmp_path, QUORA, "train")
    assert "quora-train.csv:3" not in str(error.value)


def test_a_file_of_bad_rows_alone_is_refused_even_when_skipping(tmp_path: Path) -> None:
    put(tmp_path, "sst", "0\ta\tIt rains .\t7\n")
    with pytest.raises(DataError, match="expected rows below the header, all of them are bad"):
        read_course(tmp_path, SST, "dev", on_bad_row="skip")


@pytest.mark.parametrize(
    ("row", "got"), [("1\tb\tIt pours .", 3), ("1\tb\tIt\tpours .\t3", 5), ("oops", 1)]
)
def test_a_wrong_number_of_cells_is_named_with_both_numbers(
    tmp_path: Path, row: str, got: int
) -> None:
    body = f"0\ta\tIt rains .\t3\n{row}\n2\tc\tIt rains .\t3\n"
    assert refusal(tmp_path, "sst", body)[0].startswith(
        f"ids-sst-dev.csv:3: expected 4 cells as in the header, got {got}."
    )
    assert read_course(tmp_path, SST, "dev", on_bad_row="skip").ids == ["a", "c"]
