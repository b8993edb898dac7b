"""Faults of a whole course file: quotes that swallow rows, encodings, headers, missing labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtl.data.course.files import read_course
from mtl.data.text_lines import MAX_LINE
from mtl.errors import DataError
from tests.course_tools import HEADER, SST, put, refusal


# Quotes: faults of the file where they reach over a line end, since rows may be lost in them.
def test_a_quote_that_is_never_closed_is_named_where_it_opened(tmp_path: Path) -> None:
    body = '0\ta\tIt rains .\t3\n1\tb\t"It pours .\t3\n2\tc\tIt shines .\t3\n3\td\tIt hails .\t3\n'
    [line] = refusal(tmp_path, "sst", body)
    assert line.startswith(
        "ids-sst-dev.csv:3: column 'sentence': the quote that opens here is not closed before "
        "the file"
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
        "ids-sst-dev.csv:3: column 'sentence': the quote that opens here is not closed within "
        "131072"
    )


def test_text_after_a_closing_quote_is_a_bad_row(tmp_path: Path) -> None:
    body = '0\ta\t"It" rains .\t3\n1\tb\tIt pours .\t3\n'
    assert refusal(tmp_path, "sst", body)[0].startswith(
        "ids-sst-dev.csv:2: column 'sentence': the quote that opens here closes in line 2 with "
        "text after it"
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
        "ids-sst-dev.csv:2: expected 4 cells as in the header, got 5; the row runs from line 2 "
        "to 3."
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
            ":1: expected a header with the columns 'id', 'sentence', 'sentiment', the file is "
            "empty",
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
            b"\t ID\tSentence \tsentiment\n0\ta\tx\t3\n",
            ":1: column 'id': expected in the header, which has only ' ID', 'Sentence ', "
            "'sentiment'. Rename ' ID' to 'id'.",
        ),
        (b"sentence,label\nx,3\n", ":1: expected tabs between the columns, got commas"),
        (b"x" * (MAX_LINE + 1), f":1: expected at most {MAX_LINE} characters in a line"),
        (
            b"x\r" * MAX_LINE,
            f":1: expected at most {MAX_LINE} characters in a line, it has more. "
            "Its lines end in a carriage return alone",
        ),
        (
            "\tid\tsentence\tsentiment\n0\ta\tx\t3\n".encode("utf-16")[:-1],
            ":2: expected UTF-16-LE, got the byte 0x0a at byte 15 of the line",
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


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_a_byte_order_mark_says_the_encoding(encoding: str, end: str, tmp_path: Path) -> None:
    whole = "\tid\tsentence\tsentiment\n0\ta\tUn café .\t3" + end
    put(tmp_path, "sst", whole.encode())
    expected = read_course(tmp_path, SST, "dev")
    put(tmp_path, "sst", whole.encode(encoding))
    marked = read_course(tmp_path, SST, "dev")
    assert marked.first == ["Un café ."]
    assert marked.fingerprint() == expected.fingerprint()


def test_an_empty_sentence_is_left_to_label_but_not_to_train_on(tmp_path: Path) -> None:
    put(tmp_path, "sst", b"\tid\tsentence\n0\ta\t\n1\tb\tx\n", "test")
    assert read_course(tmp_path, SST, "test").first == ["", "x"]
    assert "cell is empty" in refusal(tmp_path, "sst", "0\ta\t\t3\n")[0]
    assert "cell is empty" in refusal(tmp_path, "sst", "0\ta\t\t3\n", "test")[0]


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
