"""Shared by the tests of reports: a small grid, its runs, and the tables of a built report."""

from __future__ import annotations

import csv
import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats
from click.testing import CliRunner, Result

from mtl.cli import main
from mtl.report.publish import make
from mtl.report.subject import find_subject
from mtl.runs.folder import RunFolder
from tests.report_runs import fill_grid, write_grid

GRID = """
question: Which of these help?
name: tiny
base: baseline
set: {encoder: random-tiny, heads.sts: auto}
seeds: [0, 1, 2, 3]
arms:
  better: {freeze.unfrozen: 1}
  same: {train.lr: 2e-5}
  sts alone: {tasks: [sst, sts]}
margin: 0.01
claims:
  - claim: 1. Freezing helps sts
    arm: better
    task: sts
    expect: helps
    published: {arm: 0.690, than: 0.551, where: dev}
  - {claim: 8. Neutral is worst, arm: better, expect: worst class, class: 2}
  - {claim: 9. Train is above dev, arm: better, expect: train above dev}
"""


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def mtl(*words: str, code: int = 0) -> Result:
    found = CliRunner().invoke(main, words)
    assert found.exit_code == code, found.output
    return found


def fill(text: str = GRID, **options: Any) -> tuple[Any, dict[tuple[str, int], RunFolder]]:
    grid = write_grid(Path("runs"), text, Path("definitions"))
    return grid, fill_grid(grid, gains={"better": 0.6}, **options)


def written(name: str = "tiny") -> str:
    return Path("reports", f"{name}.md").read_text("utf-8")


def records(name: str = "tiny") -> str:
    return gzip.decompress(Path("reports", name, "records.json.gz").read_bytes()).decode()


def built(name: str = "tiny") -> str:
    """The report's Markdown, without drawing its figures."""
    source = find_subject(name, Path("runs"), Path("reports"))
    return make(source.gather(text=False)).markdown


def section(markdown: str, title: str) -> str:
    found = re.search(
        rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", markdown, re.MULTILINE | re.DOTALL
    )
    assert found, f"no section {title}"
    return found[1]


def tables(text: str) -> list[list[dict[str, str]]]:
    """The tables of a part: rows by column title.

    A title that repeats gets the title before it in front.
    """
    found = []
    for block in re.findall(r"(?:^\|.*\|\n)+", text + "\n", re.MULTILINE):
        lines = [
            [cell.strip() for cell in line.strip("|\n").split(" | ")] for line in block.splitlines()
        ]
        heads = [
            f"{lines[0][at - 1]} {head}" if lines[0].count(head) > 1 else head
            for at, head in enumerate(lines[0])
        ]
        found.append([dict(zip(heads, line, strict=True)) for line in lines[2:]])
    return found


def raw(folder: RunFolder, task: str) -> tuple[np.ndarray, np.ndarray]:
    with (folder.path / "predictions" / f"dev-{task}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name.startswith("output_")]
    return np.array([float(row["gold"]) for row in rows]), np.array(
        [[float(row[name]) for name in names] for row in rows]
    )


def right(task: str, gold: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    guess = (outputs[:, 0] > 0) if task == "quora" else outputs.argmax(1)
    return (guess == gold).astype(float)


def metric(folder: RunFolder, task: str) -> float:
    gold, outputs = raw(folder, task)
    if task == "sts":
        return float(scipy.stats.pearsonr(outputs[:, 0], gold).statistic)
    return float(right(task, gold, outputs).mean())
