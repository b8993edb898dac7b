"""Grids end to end, on a tiny encoder: run, judge, resume, survive bad runs, never run twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mtl.ablation.definition import Definition, read_definition
from mtl.ablation.engine import Ablation, run_grid
from mtl.documents.yaml_file import dump_yaml
from mtl.grid.view import View
from mtl.runs.folder import RunFolder
from mtl.runs.options import PoolOptions
from mtl.stats.decision import OPEN
from tests.conftest import write_tiny_data
from tests.grid_trains import counted, dies_on_seed_1, raises_on_seed_1, raises_once

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def workers_find_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def definition(tiny_data: Path, tmp_path: Path) -> Path:
    """One factor on two seeds, a second a run."""
    return write(
        tmp_path / "small.yaml", tiny_data, grid={"pairing": ["siamese", "concat"]}, seeds=[0, 1]
    )


def write(path: Path, data: Path, **more: Any) -> Path:
    settings = {
        "encoder": "random-tiny",
        "data": str(data),
        "train.epochs": 1,
        "train.batch_size": 4,
    }
    path.write_text(dump_yaml({"question": "Does it help?", "set": settings} | more))
    return path


ENGINE_OPTIONS = {"fail_fast", "until_decided", "max_seeds", "view"}


def grid(
    path: Path, runs: Path, train: Any = counted, **options: Any
) -> tuple[Ablation, list[str]]:
    """Run a grid without W&B; what came of it, and what was said meanwhile."""
    said: list[str] = []
    engine = {name: options.pop(name) for name in ENGINE_OPTIONS & options.keys()}
    done = run_grid(
        read_definition(path),
        train=train,
        options=PoolOptions(**({"runs": runs, "wandb": "disabled", "workers": 2} | options)),
        **({"view": View(said.append)} | engine),
    )
    return done, said


def ends(runs: Path) -> list[str]:
    log = runs / "ends.log"
    return sorted(log.read_text().split()) if log.exists() else []


def states(runs: Path) -> dict[str, str]:
    return {path.name: RunFolder(path).state() for path in sorted(runs.glob("*-s*"))}


def test_a_grid_runs_every_cell_once_and_a_second_time_nothing(
    definition: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    first, said = grid(definition, runs)
    assert first.trained == 4
    assert len(ends(runs)) == len(set(ends(runs))) == 4
    assert sum("about" in line or "overall" in line for line in said) >= 4

    second, said = grid(definition, runs, train=None)
    assert (second.trained, said) == (0, [])
    assert second.results.as_json() == first.results.as_json()

    baseline, other = first.results.arms
    assert (baseline.name, other.name) == ("baseline", "pairing=concat")
    assert other.changes["pairing"] == "concat"
    assert set(baseline.scores) == {"sst", "quora", "sts", "overall"}
    assert baseline.scores["overall"].n == 2
    records = [
        RunFolder(runs / name).record() for name in states(runs) if name.startswith(baseline.cell)
    ]
    means = [record.metrics["dev/overall"] for record in records if record]
    assert baseline.scores["overall"].mean == pytest.approx(sum(means) / 2, abs=1e-12)
    assert other.verdicts["overall"].reason.startswith("12 dev examples; a verdict needs 20")


def test_a_grid_leaves_its_question_and_its_answer_beside_the_runs(
    definition: Path, tmp_path: Path
) -> None:
    done, _ = grid(definition, tmp_path / "runs")
    folder = tmp_path / "runs" / "grids" / "small"
    assert read_definition(folder / "definition.yaml") == read_definition(definition)
    named = json.loads((folder / "grid.json").read_text())["runs"]
    assert {run for seeds in named.values() for run in seeds.values()} == set(
        states(tmp_path / "runs")
    )
    assert json.loads((folder / "results.json").read_text())["primary"] == "overall"
    assert done.folder == folder


def test_another_grid_and_a_single_run_share_runs(
    definition: Path, tiny_data: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    grid(definition, runs)
    wider = write(
        tmp_path / "wider.yaml",
        tiny_data,
        arms={"concat": {"pairing": "concat"}, "mean": {"pooling": "mean"}},
        seeds=[0, 1, 2],
    )
    done, _ = grid(wider, runs)
    assert done.trained == 9 - 4
    assert len(ends(runs)) == len(set(ends(runs))) == 9


def test_a_worker_that_dies_takes_one_run_with_it(definition: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    done, said = grid(definition, runs, train=dies_on_seed_1)
    assert sorted(states(runs).values()) == ["done", "done", "failed", "failed"]
    assert all("SIGKILL" in reason for reason in done.failures.values())
    assert sum("retrying" in line for line in said) == 2
    assert sum("FAILED" in line for line in said) == 2
    baseline = done.results.arm("baseline")
    assert baseline.seeds == (0,)
    assert "SIGKILL" in baseline.missing[1]
    assert done.results.arms[1].verdicts["overall"].word == "no verdict"

    mended, _ = grid(definition, runs)  # the same command tries what failed again
    assert mended.trained == 2
    assert set(states(runs).values()) == {"done"}
    assert len(ends(runs)) == len(set(ends(runs))) == 4


def test_a_run_that_raises_is_tried_again_and_its_reason_kept(
    definition: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    done, _ = grid(definition, runs, train=raises_once)
    assert not done.failures
    assert set(states(runs).values()) == {"done"}

    failed, said = grid(definition, tmp_path / "other", train=raises_on_seed_1, retry=0)
    assert set(failed.failures.values()) == {"MemoryError: no memory for seed 1"}
    assert not any("retrying" in line for line in said)
    record = RunFolder(next((tmp_path / "other").glob("*-s1"))).record()
    assert record is not None
    assert (record.status, record.metrics, record.seconds) == ("failed", {}, None)


def test_fail_fast_stops_at_the_first_failure(definition: Path, tmp_path: Path) -> None:
    done, _ = grid(
        definition, tmp_path / "runs", train=raises_on_seed_1, retry=0, fail_fast=True, workers=1
    )
    assert len(done.failures) == 1
    assert sorted(states(tmp_path / "runs").values()).count("failed") == 1


def test_two_commands_at_once_train_every_run_once(tiny_data: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    path = write(
        tmp_path / "shared.yaml",
        tiny_data,
        grid={"pairing": ["siamese", "concat"]},
        seeds=[0, 1, 2],
    )
    command = [sys.executable, "-m", "tests.grid_coordinator", str(path), str(runs)]
    both = [
        subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = [process.communicate(timeout=200)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert len(ends(runs)) == len(set(ends(runs))) == 6
    assert list(states(runs).values()) == ["done"] * 6


def test_an_interrupted_grid_saves_its_runs_and_goes_on(tiny_data: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    path = write(
        tmp_path / "long.yaml", tiny_data, grid={"pairing": ["siamese", "concat"]}, seeds=[0]
    )
    path.write_text(path.read_text().replace("train.epochs: 1", "train.epochs: 150"))
    command = [
        sys.executable,
        "-m",
        "mtl",
        "ablate",
        "--grid",
        str(path),
        "--runs",
        str(runs),
        "--wandb",
        "disabled",
    ]
    process = subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while (
        time.monotonic() < deadline
        and sum(file.stat().st_size > 0 for file in runs.glob("*/metrics.jsonl")) < 2
    ):
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert "Run the same command again to resume" in said
    assert list(states(runs).values()) == ["interrupted", "interrupted"]
    saved = [RunFolder(path).record() for path in runs.glob("*-s*")]
    assert all(record and record.steps > 0 for record in saved)


def test_seeds_are_added_only_where_a_verdict_is_missing(tmp_path: Path) -> None:
    path = write(
        tmp_path / "more.yaml",
        write_tiny_data(tmp_path / "data", dev=20),
        arms={"concat": {"pairing": "concat"}},
        seeds=[0, 1],
        margin=0.001,
    )
    done, _ = grid(path, tmp_path / "runs", until_decided=True, max_seeds=4)
    arm = done.results.arm("concat")
    assert done.results.looks == len(arm.seeds) - 1
    verdict = arm.verdicts["overall"]
    aside = verdict.chance is not None and verdict.chance < 0.1 and len(arm.seeds) >= 3
    assert verdict.word not in OPEN or len(arm.seeds) == 4 or aside
    assert set(arm.seeds) <= set(done.results.arm("baseline").seeds)
    again, _ = grid(path, tmp_path / "runs", until_decided=True, max_seeds=4)
    assert again.trained == 0
    assert again.results.as_json() == done.results.as_json()


def test_arms_on_other_data_are_shown_and_not_compared(tmp_path: Path) -> None:
    data = write_tiny_data(tmp_path / "data", dev=20)
    other = write_tiny_data(tmp_path / "other", dev=20, seed=7)
    path = write(
        tmp_path / "data.yaml",
        data,
        grid={"data": [str(data), str(other)], "pooling": ["cls", "mean"]},
        seeds=[0, 1],
    )
    done, _ = grid(path, tmp_path / "runs")
    compared = {arm.name: arm.verdicts["overall"].word for arm in done.results.arms[1:]}
    assert compared.pop("pooling=mean") != "no verdict"
    assert set(compared.values()) == {"no verdict"}
    assert "same data" in done.results.arms[-1].verdicts["overall"].reason
    assert all("overall" in arm.scores for arm in done.results.arms)


def test_the_function_for_notebooks_does_what_the_command_does(
    definition: Path, tmp_path: Path
) -> None:
    import mtl

    done = mtl.ablate(
        str(definition), "seed=0", runs=tmp_path / "runs", quiet=True, wandb="disabled", workers=1
    )
    assert done.trained == 2
    assert set(mtl.load_runs(tmp_path / "runs")["status"]) == {"done"}
    assert done.results.arms[1].verdicts["overall"].text == "no verdict: one seed"
    command = [
        sys.executable,
        "-m",
        "mtl",
        "ablate",
        "--grid",
        str(definition),
        "seed=0",
        "--runs",
        str(tmp_path / "runs"),
    ]
    said = subprocess.run(
        [*command, "--json"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    plain = json.loads(said.stdout)
    assert plain.pop("failures") == {}
    assert plain == json.loads(json.dumps(done.results.as_json()))
    assert "to train" not in said.stderr


def test_a_definition_can_be_given_in_words() -> None:
    from mtl.commands.ablate import definition_of

    found = definition_of(("pairing=siamese,concat", "seed=3,4"), ("train.epochs=1",), "final")
    assert isinstance(found, Definition)
    assert (found.seeds, found.base) == ((3, 4), "final")
