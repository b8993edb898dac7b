"""Runs whose dev scores are undefined: the last evaluation is kept, and no work has failed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from mtl.cli import main
from mtl.runs.folder import RunFolder
from mtl.stats.summary import summarise
from mtl.study.results import Fresh
from mtl.study.sentences import fresh_in_words
from mtl.training.evaluation import Evaluation, is_better, say_if_undefined, select
from mtl.training.state import State


@pytest.mark.parametrize(
    ("overalls", "selected"),
    [
        ([None, None, None], 3),
        ([None, 0.3, None, 0.2], 2),
        ([0.3, None, 0.4], 3),
        ([0.3, 0.3], 1),
    ],
)
def test_the_last_evaluation_is_kept_until_one_has_a_score(
    overalls: list[float | None], selected: int, tmp_path: Path
) -> None:
    state = State()
    for step, overall in enumerate(overalls, 1):
        state.step = step
        reasons = {} if overall is not None else {"dev/overall": "sts is undefined"}
        evaluation = Evaluation(predictions=(), metrics={"dev/overall": overall}, reasons=reasons)
        if is_better(evaluation, state):
            select(evaluation, state, RunFolder(tmp_path))
            say_if_undefined(state)
    assert state.best_step == selected
    kept = "sts is undefined; no evaluation had a score, so the last one was kept"
    assert state.reasons == ({"dev/overall": kept} if set(overalls) == {None} else {})


def test_a_grid_without_scores_says_why_and_has_not_failed(tiny_data: Path, tmp_path: Path) -> None:
    data, runs = tmp_path / "data", tmp_path / "runs"
    shutil.copytree(tiny_data, data)
    (path,) = data.glob("sts*-dev.csv")
    header, *rows = path.read_text().splitlines()
    separator = "\t" if "\t" in header else ","
    column = header.split(separator).index("similarity")
    fields = [row.split(separator) for row in rows]
    equal = [separator.join([*row[:column], "2.5", *row[column + 1 :]]) for row in fields]
    path.write_text("\n".join([header, *equal]) + "\n")
    words = [
        "ablate",
        "--grid",
        "heads.sst=mlp,linear",
        "--grid",
        "seed=0",
        "encoder=random-tiny",
        f"data={data}",
    ]
    words += ["train.epochs=2", "train.batch_size=8", "--runs", str(runs)]
    done = CliRunner(env={"COLUMNS": "140"}).invoke(main, [*words, "--wandb", "disabled", "-q"])
    assert done.exit_code == 0, done.output
    assert "is undefined" in done.output
    records = [json.loads(path.read_text()) for path in runs.glob("*/record.json")]
    assert len(records) == 2
    for record in records:
        assert record["best_step"] == record["steps"]
        assert "the last one was kept" in record["undefined"]["dev/overall"]


@pytest.mark.parametrize(("count", "spread"), [(1, "(n=1)"), (2, "± 0.141 (sd, n=2)")])
def test_one_fresh_seed_has_no_spread(count: int, spread: str) -> None:
    score = summarise([0.4, 0.6][:count])
    assert score is not None
    fresh = Fresh(
        trial=0,
        cell="c",
        seeds=tuple(range(count)),
        scores={"dev/overall": score},
        missing={},
    )
    assert fresh_in_words(fresh).endswith(spread)
