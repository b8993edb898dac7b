"""New text comes in batches: memory does not grow with it, and a late fault leaves no output."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mtl.data import new_text
from mtl.data.new_text import BadRows, new_rows
from mtl.data.rows import Rows
from mtl.tasks.registry import TASKS
from tests.cli_tools import mtl, two_runs

__all__ = ["two_runs"]

SST = TASKS["sst"]


def batches(lines: Iterator[str], bad: BadRows, batch: int = 3) -> Iterator[Rows]:
    return new_rows(lines, SST, "in", bad, batch)


def test_a_batch_is_there_before_the_text_ends() -> None:
    def endless() -> Iterator[str]:
        yield "id\tsentence\n"
        while True:
            yield "a\tfine\n"

    rows = batches(endless(), BadRows())
    assert [len(next(rows)) for _ in range(5)] == [3] * 5


def test_rows_without_an_id_are_numbered_over_all_batches_and_bad_rows() -> None:
    lines = iter(["sentence\n", "a\n", "\0\n", "c\n", "d\n", "e\n"])
    ids = [row_id for rows in batches(lines, BadRows(), 2) for row_id in rows.ids]
    assert ids == ["0", "2", "3", "4"]


def test_of_many_bad_rows_the_first_are_kept_and_all_are_counted() -> None:
    bad = BadRows()
    assert list(batches(iter(["sentence\n", *["a\tb\n"] * 5000]), bad)) == []
    assert (len(bad.first), bad.count) == (20, 5000)
    message = str(bad.error("Mend them."))
    assert message.splitlines()[0] == "in:2: expected 1 cells as in the header, got 2"
    assert message.endswith("and 4980 more\nMend them.")


@pytest.mark.parametrize("digits", [400, 4000])
def test_an_id_may_be_a_number_of_any_size(digits: int) -> None:
    line = json.dumps({"sentence": "a", "id": "ID"}).replace('"ID"', "9" * digits)
    (rows,) = batches(iter([line]), BadRows())
    assert rows.ids == ["9" * digits]


def test_lines_are_counted_over_blank_lines_and_quoted_line_ends() -> None:
    bad = BadRows()
    lines = iter(["\n", "id\tsentence\n", '1\t"a\n', 'b"\n', "\n", "2\t\0\n", '3\t"open\n'])
    (rows,) = batches(lines, bad)
    assert rows.first == ["a\nb"]
    assert [problem.split(": ")[0] for problem in bad.first] == ["in:6", "in:7"]


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_an_empty_sentence_gets_its_line(two_runs: tuple[Path, list[str]], form: list[str]) -> None:
    runs, ids = two_runs
    text = "id\tsentence1\tsentence2\nq1\ta\tb\nq2\ta\t\nq3\t\t \n"
    for run in ids:
        result = mtl("predict", run, "--task", "quora", "--runs", runs, *form, stdin=text)
        assert result.exit_code == 0, result.output
        assert [f"q{n}" in result.stdout for n in (1, 2, 3)] == [True] * 3


def test_small_batches_give_the_same_labels_and_a_late_fault_leaves_no_output(
    two_runs: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, ids = two_runs
    output = tmp_path / "out.tsv"
    words = ("predict", ids[0], "--task", "sst", "--runs", runs, "--output", output)
    rows = [f"x{number}\ta good film {number % 7}\n" for number in range(20)]
    assert mtl(*words, stdin="id\tsentence\n" + "".join(rows)).exit_code == 0
    whole = output.read_bytes()
    monkeypatch.setattr(new_text.new_rows, "__defaults__", (4,))
    assert mtl(*words, stdin="id\tsentence\n" + "".join(rows)).exit_code == 0
    assert output.read_bytes() == whole
    output.write_text("before")
    late = "id\tsentence\n" + "".join(rows) + "x\ty\tz\n"
    refused = mtl(*words, stdin=late)
    assert refused.exit_code == 2
    assert "standard input:22: expected 2 cells" in refused.stderr
    assert "--on-bad-row skip" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out.tsv"]
    assert output.read_text() == "before"
    skipped = mtl(*words, "--on-bad-row", "skip", stdin=late)
    assert skipped.exit_code == 0
    assert "left out: standard input:22" in skipped.stderr
    assert output.read_bytes() == whole
