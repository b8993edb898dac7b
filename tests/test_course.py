"""The course-file reader refuses every damaged file with its place, and reads back exactly what was written."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mtl.data.course.files import read_course, write_course
from mtl.data.load import load_rows
from mtl.data.rows import Rows
from mtl.errors import DataError
from mtl.tasks.registry import SPLITS, TASKS, Split, TaskName

COURSE = Path(__file__).resolve().parents[2] / "shared" / "data" / "cs224n"
SST, QUORA, STS = TASKS["sst"], TASKS["quora"], TASKS["sts"]
HEADER = {"sst": "\tid\tsentence\tsentiment\n"}
HEADER["quora"] = "\tid\tsentence1\tsentence2\tis_duplicate\n"
HEADER["sts"] = "\tid\tsentence1\tsentence2\tsimilarity\n"


def put(folder: Path, task: TaskName, body: str | bytes, split: Split = "dev") -> Path:
    """Write a course file: text gets the header, bytes are the whole file."""
    path = folder / TASKS[task].file_name(split)
    path.write_bytes(body if isinstance(body, bytes) else (HEADER[task] + body).encode())
    return path


def refusal(folder: Path, task: TaskName, body: str | bytes, split: Split = "dev") -> list[str]:
    """The lines of the error that reading `body` gives, without the folder."""
    put(folder, task, body, split)
    with pytest.raises(DataError) as error:
        read_course(folder, TASKS[task], split)
    assert error.value.exit_code == 2
    return str(error.value).replace(f"{folder}/", "").splitlines()


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
    # A cell in quotes loses them and halves the doubled ones; a quote inside a plain cell is a letter like any other.
    put(tmp_path, "sst", '0\ta\t"He said ""no"" ."\t3\n1\tb\ta 5" nail\t2\n2\tc\t"""quoted"""\t1\n')
    assert read_course(tmp_path, SST, "dev").first == ['He said "no" .', 'a 5" nail', '"quoted"']


def test_words_that_mean_missing_elsewhere_are_sentences_here(tmp_path: Path) -> None:
    put(tmp_path, "sst", "0\ta\tNA\t3\n1\tb\tnull\t2\n2\tc\tNone\t1\n3\td\t-\t1\n")
    assert read_course(tmp_path, SST, "dev").first == ["NA", "null", "None", "-"]


def test_columns_that_are_not_needed_and_their_order_do_not_matter(tmp_path: Path) -> None:
    whole = b"note\tsentiment\tid\tsentence\tnote\nx\t3\ta\tIt rains .\ty\n"
    put(tmp_path, "sst", whole)
    rows = read_course(tmp_path, SST, "dev")
    assert (rows.ids, rows.first, rows.labels.tolist()) == (["a"], ["It rains ."], [3.0])  # type: ignore[union-attr]


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


# Quotes: faults of the file where they reach over a line end, since rows may be lost in them.
def test_a_quote_that_is_never_closed_is_named_where_it_opened(tmp_path: Path) -> None:
    body = '0\ta\tIt rains .\t3\n1\tb\t"It pours .\t3\n2\tc\tIt shines .\t3\n3\td\tIt hails .\t3\n'
    [line] = refusal(tmp_path, "sst", body)
    assert line.startswith(
        "ids-sst-dev.csv:3: column 'sentence': the quote that opens here is not closed before the file"
    )
    with pytest.raises(DataError, match=r":3: column 'sentence'"):
        read_course(tmp_path, SST, "dev", on_bad_row="skip")


def test_a_quote_opened_late_in_a_row_of_several_lines_is_named_by_its_own_line(
    tmp_path: Path,
) -> None:
    body = '0\ta\t"It rains .\nAnd how ."\t"3\n1\tb\tIt pours .\t3\n'
    [line] = refusal(tmp_path, "sst", body)
    assert line.startswith(
        "ids-sst-dev.csv:3: column 'sentiment': the quote that opens here is not closed"
    )


def test_a_quote_left_open_far_from_the_end_of_a_large_file_is_named_where_it_opened(
    tmp_path: Path,
) -> None:
    filler = "".join(f"{n}\tid{n}\tIt rains all day long .\t3\n" for n in range(2, 6000))
    [line] = refusal(tmp_path, "sst", '0\ta\tIt rains .\t3\n1\tb\t"It pours .\t3\n' + filler)
    assert line.startswith(
        "ids-sst-dev.csv:3: column 'sentence': the quote that opens here is not closed within 131072"
    )


def test_text_after_a_closing_quote_is_a_bad_row(tmp_path: Path) -> None:
    body = '0\ta\t"It" rains .\t3\n1\tb\tIt pours .\t3\n'
    assert refusal(tmp_path, "sst", body)[0].startswith(
        "ids-sst-dev.csv:2: column 'sentence': the quote that opens here closes in line 2 with text after it"
    )
    assert read_course(tmp_path, SST, "dev", on_bad_row="skip").ids == ["b"]


def test_an_open_quote_that_meets_a_later_one_is_named_where_it_opened(tmp_path: Path) -> None:
    body = '0\ta\t"It rains .\t3\n1\tb\tIt pours .\t3\n2\tc\t"It" hails .\t3\n'
    [line] = refusal(tmp_path, "sst", body)
    assert line.startswith(
        "ids-sst-dev.csv:2: column 'sentence': the quote that opens here closes in line 4"
    )


def test_rows_swallowed_by_a_quote_that_closes_too_late_are_noticed_by_their_cells(
    tmp_path: Path,
) -> None:
    body = '0\ta\t"It rains .\t3\n1\tb\tIt pours ."\t3\t1\n2\tc\tIt hails .\t3\n'
    [line] = refusal(tmp_path, "sst", body)
    assert line.startswith(
        "ids-sst-dev.csv:2: expected 4 cells as in the header, got 5; the row runs from line 2 to 3."
    )
    with pytest.raises(DataError):
        read_course(tmp_path, SST, "dev", on_bad_row="skip")


def test_rows_swallowed_without_a_trace_in_the_cells_are_noticed_by_the_row_numbers(
    tmp_path: Path,
) -> None:
    body = '0\ta\t"It rains .\t3\n1\tb\tIt pours ."\t3\n2\tc\tIt hails .\t3\n'
    [line] = refusal(tmp_path, "sst", body)
    assert line.startswith(
        "ids-sst-dev.csv:2: the row runs from line 2 to 3 and seems to hold other rows."
    )


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_huge_cell_is_refused_by_its_size_and_others_are_read(tmp_path: Path, quote: str) -> None:
    huge = quote + "rain " * 30_000 + quote
    body = f"0\ta\tIt rains .\t3\n1\tb\t{huge}\t3\n2\tc\tIt hails .\t3\n"
    assert refusal(tmp_path, "sst", body)[0].startswith(
        "ids-sst-dev.csv:3: column 'sentence': expected at most 131072 characters"
    )


def test_a_large_cell_below_the_limit_is_read(tmp_path: Path) -> None:
    large = "rain " * 26_000
    put(tmp_path, "sst", f"0\ta\t{large}\t3\n")
    assert read_course(tmp_path, SST, "dev").first == [large]


def test_a_lone_carriage_return_is_a_bad_row(tmp_path: Path) -> None:
    body = "0\ta\tIt \r rains .\t3\n1\tb\tIt pours .\t3\n"
    assert refusal(tmp_path, "sst", body)[0].startswith(
        "ids-sst-dev.csv:2: column 'sentence': a carriage return stands alone"
    )
    assert read_course(tmp_path, SST, "dev", on_bad_row="skip").ids == ["b"]


# Files: faults that no skipping can mend.
@pytest.mark.parametrize("on_bad_row", ["error", "skip"])
@pytest.mark.parametrize(
    ("whole", "start"),
    [
        (
            b"",
            ":1: expected a header with the columns 'id', 'sentence', 'sentiment', the file is empty",
        ),
        (b"\n\n", ":1: expected a header"),
        (b"\tid\tsentence\tsentiment\n", ":2: expected rows below the header, there are none"),
        (
            b"\tid\tsentence\n0\ta\tx\n",
            ":1: column 'sentiment': expected in the header, which has only 'id', 'sentence'",
        ),
        (
            b"\tid\tsentense\tsentiment\n0\ta\tx\t3\n",
            ":1: column 'sentence': expected in the header",
        ),
        (
            b"\tid\tsentence\tid\tsentiment\n0\ta\tx\ty\t3\n",
            ":1: column 'id': expected once, it stands 2 times",
        ),
        (
            b"id\tsentence\tsentiment\n0\ta\tx\t3\n",
            ":1: the header is shifted: it has 3 cells and the rows have 4",
        ),
        (
            b"\tid\tsentence\tsentiment\na\tx\t3\n",
            ":1: the header is shifted: it has 4 cells and the rows have 3",
        ),
        (b",id,sentence,sentiment\n0,a,x,3\n", ":1: expected tabs between the columns, got commas"),
        (b'"","id","sentence"\n"0","a","x"\n', ":1: expected tabs between the columns, got commas"),
        (
            b";id;sentence;sentiment\n0;a;x;3\n",
            ":1: expected tabs between the columns, got semicolons",
        ),
        (
            b"0\ta\tIt rains .\t3\n",
            ":1: expected a header with the columns 'id', 'sentence', 'sentiment', got '0', 'a'",
        ),
        (
            b"\xef\xbb\xbf\tid\tsentence\tsentiment\n0\ta\tx\t3\n",
            ":1: a byte-order mark (EF BB BF) stands before",
        ),
        (
            "\tid\tsentence\tsentiment\n0\ta\tx\t3\n".encode("utf-16"),
            ":1: expected UTF-8, this is UTF-16",
        ),
        ("\tid\tsentence\tsentiment\n".encode("utf-16-le"), ":1: the header holds NUL characters"),
        (
            b"\tid\tsentence\tsentiment\n0\ta\tx\t3\n1\tb\tcaf\xe9\t3\n",
            ":3: expected UTF-8, got the byte 0xe9 at byte 8",
        ),
        (
            b"\tid\tsentence\tsentiment\r0\ta\tx\t3\r",
            ":1: the lines end in a carriage return alone",
        ),
        (
            b'\tid\t"sentence\tsentiment\n0\ta\tx\t3\n',
            ":1: column 3: the quote that opens here is not closed",
        ),
    ],
)
def test_a_fault_of_the_whole_file_is_named(
    tmp_path: Path, whole: bytes, start: str, on_bad_row: str
) -> None:
    put(tmp_path, "sst", whole)
    with pytest.raises(DataError) as error:
        read_course(tmp_path, SST, "dev", on_bad_row=on_bad_row)  # type: ignore[arg-type]
    assert str(error.value).replace(f"{tmp_path}/", "").startswith(f"ids-sst-dev.csv{start}")


def test_the_remedy_for_another_encoding_is_a_command(tmp_path: Path) -> None:
    [line] = refusal(tmp_path, "sst", b"\tid\tsentence\tsentiment\n0\ta\tcaf\xe9\t3\n")
    assert "iconv -f LATIN1 -t UTF-8 ids-sst-dev.csv" in line


def test_a_misspelt_column_and_another_tasks_file_are_recognised(tmp_path: Path) -> None:
    [line] = refusal(tmp_path, "sst", b"\tid\tsentense\tsentiment\n0\ta\tx\t3\n")
    assert line.endswith("Did you mean 'sentense'?")
    [line] = refusal(tmp_path, "quora", HEADER["sts"].encode() + b"0\ta\tx\ty\t3\n")
    assert line.endswith("'similarity' is the label of sts: is it that task's file?")


def test_only_a_test_file_may_lack_its_labels(tmp_path: Path) -> None:
    hidden = b"\tid\tsentence\n0\ta\tIt rains .\n"
    put(tmp_path, "sst", hidden, "test")
    assert read_course(tmp_path, SST, "test").labels is None
    for split in ("train", "dev"):
        [line] = refusal(tmp_path, "sst", hidden, split)
        assert line.startswith(f"ids-sst-{split}.csv:1: column 'sentiment'")


def test_a_misspelt_label_does_not_turn_a_test_file_into_an_unlabelled_one(tmp_path: Path) -> None:
    [line] = refusal(tmp_path, "sst", b"\tid\tsentence\tsentimant\n0\ta\tIt rains .\t3\n", "test")
    assert line.endswith("Did you mean 'sentimant'?")


def test_an_empty_label_in_a_test_file_is_a_bad_row(tmp_path: Path) -> None:
    assert "column 'sentiment'" in refusal(tmp_path, "sst", "0\ta\tIt rains .\t\n", "test")[0]


# Folders.
def test_a_missing_folder_is_named_with_its_nearest_neighbour(tmp_path: Path) -> None:
    (tmp_path / "course").mkdir()
    with pytest.raises(DataError) as error:
        read_course(tmp_path / "corse", SST, "dev")
    assert str(error.value) == (
        f"{tmp_path}/corse: no such folder. Did you mean 'course'? Expected a folder with ids-sst-dev.csv."
    )


def test_a_missing_file_is_named_with_what_is_there_and_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "ids-sst-dev.tsv").touch()
    with pytest.raises(DataError) as error:
        read_course(tmp_path, SST, "dev")
    assert str(error.value).splitlines() == [
        f"{tmp_path}/ids-sst-dev.csv: no such file. Did you mean 'ids-sst-dev.tsv'? Rename it.",
        f"{tmp_path} holds ids-sst-dev.tsv.",
    ]


def test_files_in_a_folder_below_are_found(tmp_path: Path) -> None:
    (tmp_path / "cs224n").mkdir()
    put(tmp_path / "cs224n", "sst", "0\ta\tIt rains .\t3\n")
    with pytest.raises(DataError, match=f"{tmp_path}/cs224n has ids-sst-dev.csv: name that folder"):
        read_course(tmp_path, SST, "dev")


def test_a_file_is_no_folder_and_a_folder_no_file(tmp_path: Path) -> None:
    path = put(tmp_path, "sst", "0\ta\tIt rains .\t3\n")
    with pytest.raises(DataError, match="this is a file. Name its folder"):
        read_course(path, SST, "dev")
    (tmp_path / "sts-dev.csv").mkdir()
    with pytest.raises(DataError, match="sts-dev.csv: no such file"):
        read_course(tmp_path, STS, "dev")


# Loading several files.
def test_the_errors_of_all_files_come_at_once(tmp_path: Path) -> None:
    put(tmp_path, "sst", "0\ta\tIt rains .\t7\n", "train")
    put(tmp_path, "sst", "0\ta\t\t3\n", "dev")
    with pytest.raises(DataError) as error:
        load_rows(str(tmp_path), ["sst"], ["train", "dev"])
    assert re.findall(r"ids-sst-\w+\.csv:2: column '\w+'", str(error.value)) == [
        "ids-sst-train.csv:2: column 'sentiment'",
        "ids-sst-dev.csv:2: column 'sentence'",
    ]


def test_all_missing_files_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        load_rows(str(tmp_path), ["sst", "sts"], ["dev"])
    assert "ids-sst-dev.csv: no such file" in str(error.value)
    assert "sts-dev.csv: no such file" in str(error.value)


def test_a_folder_is_loaded_by_task_and_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "sst", "0\ta\tIt rains .\t3\n")
    put(tmp_path, "sts", "0\tb\tIt rains .\tIt pours .\t4.5\n")
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    rows = load_rows(f"~/{tmp_path.name}", ["sts", "sst"], ["dev"])
    assert list(rows) == [("sts", "dev"), ("sst", "dev")]
    assert rows["sts", "dev"].ids == ["b"]


def test_the_sample_is_loaded_by_name() -> None:
    rows = load_rows("sample", ["sst"], ["dev"])
    assert len(rows["sst", "dev"]) > 0
    assert rows["sst", "dev"].split == "dev"


def test_a_misspelt_name_is_answered_with_the_right_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="Did you mean 'sample'"):
        load_rows("sampel", ["sst"], ["dev"])


# Writing.
NASTY = st.text(
    st.one_of(
        st.sampled_from("\t\n\r\"',;\\ 0\u2028\x85\x1c\ufeffé😀"),
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    ),
    min_size=1,
    max_size=12,
).filter(lambda text: bool(text.strip()))


@st.composite
def any_rows(draw: st.DrawFn) -> Rows:
    task = TASKS[draw(st.sampled_from(["sst", "quora", "sts"]))]
    split = draw(st.sampled_from(SPLITS))
    ids = draw(st.lists(NASTY, min_size=1, max_size=6, unique=True))
    column = st.lists(NASTY, min_size=len(ids), max_size=len(ids))
    number = (
        st.floats(0, 5).map(abs)
        if task.kind == "score"
        else st.integers(int(task.low), int(task.high)).map(float)
    )
    labels = np.array(
        draw(st.lists(number, min_size=len(ids), max_size=len(ids))), dtype=np.float64
    )
    hidden = split == "test" and draw(st.booleans())
    return Rows(
        task=task, split=split, ids=ids, first=draw(column), second=draw(column) if task.pair else None,
        labels=None if hidden else labels,
    )  # fmt: skip


def swallowing_look_alike() -> Rows:
    """Sentences that look as if a quote had swallowed the next rows."""
    texts = ["It rains .\n1\tb", "It pours .\n2\tc\n3\td", "x\n4\tt"]
    return Rows(
        task=SST,
        split="dev",
        ids=["a", "b", "c"],
        first=texts,
        second=None,
        labels=np.array([1.0, 2.0, 3.0]),
    )


@settings(max_examples=150, deadline=None)
@given(rows=any_rows())
@example(rows=swallowing_look_alike())
def test_what_is_written_is_read_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, rows: Rows
) -> None:
    folder = tmp_path_factory.mktemp("course")
    path = write_course(folder, rows)
    back = read_course(folder, rows.task, rows.split)
    assert path.name == rows.task.file_name(rows.split)
    assert (back.ids, back.first, back.second) == (rows.ids, rows.first, rows.second)
    assert back.fingerprint() == rows.fingerprint()
    assert [entry.name for entry in folder.iterdir()] == [path.name]


def test_a_written_file_is_in_the_courses_own_form(tmp_path: Path) -> None:
    rows = Rows(
        task=SST, split="dev", ids=["a1"], first=['It "rains" .'], second=None, labels=np.array([3.0])
    )  # fmt: skip
    path = write_course(tmp_path / "new" / "folder", rows)
    assert path.read_bytes() == b'\tid\tsentence\tsentiment\n0\ta1\t"It ""rains"" ."\t3\n'


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"first": ["It rains .", " "]}, "row 1: column 'sentence': expected a sentence"),
        ({"first": ["It rains .", "\0"]}, "row 1: column 'sentence': NUL"),
        ({"first": ["It rains .", "\ud800"]}, "row 1: column 'sentence': half a surrogate pair"),
        ({"ids": ["a", "a"]}, "id 'a' stands 2 times"),
        ({"labels": np.array([1.0, np.nan])}, "row 1: column 'sentiment'"),
        ({"labels": np.array([1.0, 2.5])}, "row 1: column 'sentiment'"),
        ({"labels": None}, "rows of dev need labels"),
        ({"ids": [], "first": [], "labels": np.zeros(0)}, "there are no rows to write"),
    ],
)
def test_rows_that_could_not_be_read_back_are_not_written(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    values = {
        "ids": ["a", "b"],
        "first": ["It rains .", "It pours ."],
        "labels": np.array([1.0, 2.0]),
        **changes,
    }
    with pytest.raises(DataError, match=re.escape(words)):
        write_course(tmp_path, Rows(task=SST, split="dev", second=None, **values))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_a_message(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    rows = Rows(
        task=SST, split="dev", ids=["a"], first=["It rains ."], second=None, labels=np.array([1.0])
    )
    with pytest.raises(DataError, match="cannot write it"):
        write_course(tmp_path / "file", rows)


# The course's real files, where they are to hand.
SIZES = {"sst": (7257, 1101, 854), "quora": (14096, 2043, 2051), "sts": (5103, 863, 627)}


@pytest.mark.skipif(not COURSE.is_dir(), reason="the course's files are not here")
@pytest.mark.parametrize("task", ["sst", "quora", "sts"])
def test_the_real_files_are_read_strictly_and_as_a_table_library_reads_them(task: TaskName) -> None:
    pandas = pytest.importorskip("pandas")
    for split, size in zip(SPLITS, SIZES[task], strict=True):
        bad = 2 if (task, split) == ("quora", "train") else 0
        rows = read_course(COURSE, TASKS[task], split, on_bad_row="skip" if bad else "error")
        assert len(rows) == size - bad
        assert len(rows.skipped) == bad
        path = COURSE / TASKS[task].file_name(split)
        table = pandas.read_csv(path, sep="\t", index_col=0, dtype=str, keep_default_na=False)
        table = table[table[TASKS[task].label_column] != ""]
        assert rows.first == table[TASKS[task].sentence_columns[0]].tolist()
        assert rows.second is None or rows.second == table["sentence2"].tolist()
        assert rows.ids == table["id"].tolist()


@pytest.mark.skipif(not COURSE.is_dir(), reason="the course's files are not here")
def test_the_two_real_rows_without_a_label_are_left_out_by_line() -> None:
    rows = read_course(COURSE, QUORA, "train")
    assert len(rows) == 14094
    assert [message.split(": ")[0].rsplit(":", 1)[1] for message in rows.skipped] == [
        "1725",
        "9904",
    ]


@pytest.mark.skipif(not COURSE.is_dir(), reason="the course's files are not here")
def test_real_quoted_cells_lose_their_quotes() -> None:
    raw = (COURSE / "quora-dev.csv").read_text(encoding="utf-8").splitlines()[1:]
    rows = read_course(COURSE, QUORA, "dev")
    assert rows.second is not None
    read = zip(rows.first, rows.second, strict=True)
    changed = sum(line.split("\t")[2:4] != list(pair) for line, pair in zip(raw, read, strict=True))
    assert changed == sum('"' in line for line in raw) > 0
