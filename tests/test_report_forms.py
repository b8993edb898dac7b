"""Tables that other programs read, figures that depend on numbers only, records without loss."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from mtl.ablation.evidence import FolderRuns
from mtl.ablation.judging import make_results
from mtl.report import archive
from mtl.report.archive import ArchivedRuns
from mtl.report.document import Cell, Figure, columns, number, table, text, tick
from mtl.report.render.drawings import DRAWINGS
from mtl.report.render.figures import digest, digest_in, draw
from mtl.report.render.plain import cleaned
from mtl.report.render.tables import to_csv, to_latex
from mtl.report.stale import first_difference
from mtl.report.subject import find_subject
from mtl.report.upgrade import read
from mtl.tasks.registry import TASKS
from tests.report_runs import fill_grid, write_grid

HOSTILE = [
    "a,b",
    'a "quoted" one',
    "=1+2",
    "@x",
    "+SUM(A1)",
    "-cmd",
    "-0.012 [-0.1, +0.1]",
    "50 % & $5 #1 _x_ {y} ~z^ \\q",
    "±<|>",
]


def hostile_table() -> Any:
    heads = columns("arm & co", "on", "value, 95 %", kinds="txn")
    rows = [
        (text(value), tick(index % 2 == 0), number(index / 3))
        for index, value in enumerate(HOSTILE)
    ]
    return table(
        "t", heads, [*rows, (text("none"), tick(False), Cell(text="-"))], "a caption\nof two lines"
    )


def test_csv_reads_back_with_every_number_at_full_precision() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(hostile_table()))))
    assert [row["arm & co"].removeprefix("'") for row in rows] == [*HOSTILE, "none"]
    assert [float(row["value, 95 % (number)"]) for row in rows[:-1]] == [
        index / 3 for index in range(len(HOSTILE))
    ]
    assert rows[-1]["value, 95 % (number)"] == ""
    assert [row["on"] for row in rows[:2]] == ["✓", ""]


def test_no_cell_of_a_csv_file_is_a_formula() -> None:
    for row in csv.reader(io.StringIO(to_csv(hostile_table()))):
        assert not [
            cell for cell in row if re.match(r"[=@\t\r]|[-+](?![\d.])", cell) and cell != "-"
        ]


@pytest.mark.parametrize(
    ("cell", "safe"),
    [
        ("-2+3+cmd|' /C calc'!A0", False),
        ("=1", False),
        (" =1", False),
        ("\u200b=1", False),
        ("\n@sum", False),
        ("\uff1d1", False),
        ("-\u0663", False),
        ("+1+1", False),
        ("-0.021", True),
        ("+12%", True),
        ("-1e-5", True),
        ("+0.124 [-0.075, +0.173]", True),
        ("-0.256 \u00b1 0.021 (sd, n=3)", True),
        ("plain - text", True),
        ("", True),
    ],
)
def test_only_numbers_and_intervals_may_begin_with_a_sign(cell: str, safe: bool) -> None:
    rows = csv.reader(
        io.StringIO(to_csv(table("t", columns("a", "b", kinds="tt"), [[text(cell)] * 2])))
    )
    written = list(rows)[1][0]
    assert written == (cell if safe else f"'{cell}")


def test_latex_reads_back() -> None:
    lines = to_latex(hostile_table()).splitlines()
    assert lines[0] == "% a caption of two lines"
    assert lines[1] == r"\begin{tabular}{lcr}"
    body = lines[lines.index(r"\midrule") + 1 : lines.index(r"\bottomrule")]
    assert [unlatex(re.split(r"(?<!\\) & ", line)[0]) for line in body] == [*HOSTILE, "none"]
    assert all(line.endswith(r" \\") for line in body)
    assert all(len(re.split(r"(?<!\\) & ", line)) == 3 for line in body)


def unlatex(value: str) -> str:
    """What LaTeX prints for what `to_latex` writes, by its own list of names."""
    names = {"textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^", "textless": "<",
             "textgreater": ">",
             "textbar": "|", "textquotedbl": '"', "textasciigrave": "`"}  # fmt: skip
    value = re.sub(
        r"\\(text\w+)\{\}", lambda match: f"\0{list(names).index(match[1])}\0", value
    ).replace(r"$\pm$", "±")
    value = re.sub(r"\\([{}$&%#_])", r"\1", value)
    return re.sub(r"\0(\d+)\0", lambda match: names[list(names)[int(match[1])]], value)


# --- figures

NAME = (
    "$\\no{$ <script>alert(1)</script> & 'a very long name that has to be cut somewhere' "
    "\u05d0\u2603"
)
LINE = {"value": 0.1, "low": -0.1, "high": 0.3}
FIGURES: dict[str, dict[str, Any]] = {
    "effects": {
        "baseline": "b",
        "unit": "difference on dev",
        "panels": [{"score": "overall", "margin": 0.01,
                    "lines": [{"arm": NAME, "word": word, **LINE}
                              for word in ("helps", "undecided")]}],
    },
    "factors": {"score": "sts", "margin": 0.01,
                "lines": [{"kind": "main effect", "of": NAME, **LINE}]},
    "confusion": {"names": list("abcde"),
                  "panels": [{"arm": NAME, "counts": np.eye(5, dtype=int).tolist(), "seeds": 2}]},
    "regression": {
        "range": [0.0, 5.0],
        "gold": "gold score (0 to 5)",
        "panels": [
            {"arm": NAME, "seed": 0, "predicted": [1.0, 2.0, 3.0], "gold": [1.0, 2.5, 2.0],
             "line": [0.5, 0.8], "extremes": [0, 1, 2]},
            {"arm": "flat", "seed": 0, "predicted": [1.0, 1.0], "gold": [1.0, 2.0], "line": None,
             "extremes": []},
        ]
    },
    "curves": {
        "panels": [{"score": "sst",
                    "lines": [{"arm": NAME, "split": split, "runs": [[[1.0, 0.2], [2.0, 0.3]]]}
                              for split in ("train", "dev")]}]
    },
}  # fmt: skip


def test_a_figure_is_stale_where_it_would_look_different_and_not_for_a_machines_last_bits() -> None:
    def of(value: float) -> str:
        return digest(
            Figure(
                name="f",
                drawing="effects",
                caption="c",
                alt="a",
                data={"rows": [{"at": [value, 1]}]},
            )
        )

    assert of(0.123456789) == of(0.1234567890000001) == of(0.12345678)
    assert of(0.0) == of(-0.0) == of(1e-17)
    assert len({of(value) for value in (0.1234, 0.1235, 1e-6, 0.0, -0.1234, 1234.0, 1234.1)}) == 7


def test_every_drawing_is_tested() -> None:
    assert set(FIGURES) == set(DRAWINGS)


@pytest.mark.parametrize("count", [20, 60])
def test_a_confusion_of_many_classes_is_drawn(count: int) -> None:
    names = [f"{NAME} {number}" for number in range(count)]
    panel = {"arm": NAME, "counts": np.eye(count, dtype=int).tolist(), "seeds": 2}
    data = cleaned({"names": names, "panels": [panel, panel]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svg = draw(Figure(name="f", drawing="confusion", caption="c", alt="a", data=data))
    assert ElementTree.fromstring(svg).tag.endswith("svg")


@pytest.mark.parametrize("drawing", FIGURES)
def test_a_figure_depends_on_its_numbers_alone_and_takes_any_name(drawing: str) -> None:
    figure = Figure(name="f", drawing=drawing, caption="c", alt="a", data=cleaned(FIGURES[drawing]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svg = draw(figure)
        assert draw(figure) == svg
    ElementTree.fromstring(svg)
    assert digest_in(svg) == digest(figure)
    assert b"<script" not in svg
    assert b"<dc:date>" not in svg
    other = json.loads(
        json.dumps(FIGURES[drawing])
        .replace("0.1", "0.11")
        .replace("1.0", "1.5")
        .replace("[1, 0", "[7, 0")
    )
    assert draw(Figure(name="f", drawing=drawing, caption="c", alt="a", data=other)) != svg


def test_drawing_leaves_a_notebooks_own_settings_and_figures_alone() -> None:
    program = (
        "import sys, matplotlib\n"
        "matplotlib.rcParams['font.size'] = 33\n"
        "from mtl.report.render.figures import draw\n"
        "from mtl.report.document import Figure\n"
        f"data = {FIGURES['factors']!r}\n"
        "draw(Figure(name='f', drawing='factors', caption='', alt='', data=data))\n"
        "assert matplotlib.rcParams['font.size'] == 33\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


# --- records

GRID = (
    "question: q\nname: kept\nset: {encoder: random-tiny, heads.sts: auto}\nseeds: [0, 1]\n"
    "arms: {other: {freeze.unfrozen: 1}}\n"
)


def test_records_give_the_same_statistics_bit_for_bit(tmp_path: Path) -> None:
    grid = write_grid(tmp_path / "runs", GRID, tmp_path)
    folders = fill_grid(grid)
    path = tmp_path / "records.json.gz"
    archive.write(path, find_subject("kept", grid.runs, tmp_path).gather(text=False))
    records = read(path)
    assert isinstance(records, archive.Archive)
    kept, real = ArchivedRuns(records.runs, records.rows), FolderRuns(grid.runs)
    for folder in folders.values():
        for task in TASKS:
            one, other = (
                kept.judged(folder.run_id, task, "mean")[0],
                real.judged(folder.run_id, task, "mean")[0],
            )
            assert one is not None
            assert other is not None
            assert (one.score, one.order) == (other.score, other.order)
            assert one.values is not None and np.array_equal(one.values, other.values)  # type: ignore[arg-type]
    assert records.results == grid.results()
    assert make_results(records.design, kept) == grid.results()


def test_the_first_difference_is_named() -> None:
    assert first_difference({"a": [1, 2], "b": {"c": 1.5}}, {"a": [1, 2], "b": {"c": 1.5}}) is None
    assert (
        first_difference({"a": 1, "b": {"c": 1.5}}, {"a": 1, "b": {"c": 2.5}})
        == "b.c is 1.5, the runs say 2.5"
    )
    assert first_difference({"a": 1}, {"a": 1, "b": 2}) == "b is only in the runs"
    assert first_difference({"a": 1}, {"a": 1.0}) == "a is 1, the runs say 1.0"
    assert (
        first_difference({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]})
        == "a[1].b is 2, the runs say 3"
    )
    assert first_difference({"a": [1]}, {"a": [1.0]}) == "a[0] is 1, the runs say 1.0"
    assert first_difference({"a": [1]}, {"a": [1, 2]}) == "a has 1 entries, the runs say 2"
