"""`mtl study` from end to end, on real runs of the tiny encoder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

import mtl
from mtl.cli import main
from mtl.config.settings import config_from
from mtl.runs.folder import RunFolder
from tests.study_tools import write_study
from tests.wandb_peer import Peer
from tests.wandb_runs import own_home, peer

__all__ = ["own_home", "peer"]

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, kw_only=True)
class Said:
    stdout: str
    stderr: str


def command(*words: str, code: int = 0) -> Said:
    done = CliRunner().invoke(main, ["study", *words])
    assert done.exit_code == code, done.output
    return Said(stdout=done.stdout, stderr=done.stderr)


@pytest.fixture(autouse=True)
def workers_find_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def study(tiny_data: Path, tmp_path: Path) -> Path:
    space = {"pairing": ["siamese", "concat"], "train.lr": {"float": [1e-4, 1e-2], "log": True}}
    return write_study(
        tmp_path / "little.yaml", tiny_data, space=space, set={"train.epochs": 3}, fresh=2
    )


def test_a_study_from_question_to_verdict(study: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    places = ("--runs", str(runs))
    quiet = (*places, "--wandb", "disabled", "--workers", "2")
    done = command("optimize", str(study), "--trials", "6", *quiet)
    assert "the score that won" in done.stdout
    assert "on fresh seeds 1, 2" in done.stdout
    assert "6 trials" in done.stdout
    assert "trial 0" in done.stderr

    again = command("optimize", str(study), "--trials", "6", *quiet, "--json")
    plain = json.loads(again.stdout)
    assert plain["trained"] == 0
    assert (runs / "studies" / "little" / "results.json").exists()
    shown = json.loads(command("show", "little", *places, "--json").stdout)
    assert {**shown, "seconds": 0} == {key: value for key, value in {**plain, "seconds": 0}.items()
                                       if key not in ("trained", "failures")}  # fmt: skip
    assert "PED-ANOVA" in command("show", "little", *places).stdout

    best = shown["trials"][[one["number"] for one in shown["trials"]].index(shown["best"])]
    path = tmp_path / "best.yaml"
    command("best", "little", "--output", str(path), *places)
    record = mtl.train(config_from([str(path)]), runs=runs, wandb="disabled")
    assert record.cell == best["cell"]
    assert record.metrics["dev/overall"] == best["values"][0]

    verdicts = command("ablate", "little", "--seeds", "2", *quiet)
    assert "without train.lr" in verdicts.stdout
    grid = json.loads((runs / "grids" / "little-best" / "grid.json").read_text())
    assert all(set(seeds) == {"1", "2"} for seeds in grid["runs"].values())
    assert all(
        name.endswith(("-s0", "-s1", "-s2")) for name in (path.name for path in runs.glob("*-s*"))
    )


def test_a_study_that_is_not_there_is_named_with_the_nearest(study: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    (runs / "studies" / "little").mkdir(parents=True)
    (runs / "studies" / "little" / "study.db").touch()
    assert "Did you mean 'little'?" in command("show", "litle", "--runs", str(runs), code=2).stderr
    assert (
        "Did you mean 'quick'?" in command("optimize", "quik", "--runs", str(runs), code=2).stderr
    )
    assert (
        "expected a URL"
        in command(
            "optimize", str(study), "--storage", "study.db", "--runs", str(runs), code=2
        ).stderr
    )
    assert not list(runs.glob("*-s*"))


def test_a_study_is_a_group_in_wandb_with_a_summary(
    study: Path, tmp_path: Path, peer: Peer
) -> None:
    study.write_text(study.read_text().replace("fresh: 2", "fresh: 0"))
    done = mtl.optimize(
        str(study),
        "train.epochs=1",
        runs=tmp_path / "runs",
        trials=2,
        quiet=True,
        workers=1,
        wandb="online",
    )
    assert {run.group for run in peer.runs.values()} == {"little"}
    trained = {name for name, run in peer.runs.items() if run.job_type == "train"}
    assert trained == {folder.name for folder in (tmp_path / "runs").glob("*-s*")}
    (report,) = (run for run in peer.runs.values() if run.job_type == "report")
    best = done.results.best
    assert best is not None
    assert report.summary["best/value"] == pytest.approx(best.values[0], rel=1e-12)
    assert report.summary["trials"] == 2
    calls = len(peer.calls)
    mtl.optimize(
        str(study),
        "train.epochs=1",
        runs=tmp_path / "runs",
        trials=2,
        quiet=True,
        workers=1,
        wandb="online",
    )
    assert len(peer.calls) == calls, "nothing new, and something was sent"


def test_an_interrupted_study_saves_its_runs_and_goes_on(study: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    words = [
        "optimize",
        str(study),
        "train.epochs=150",
        "--trials",
        "2",
        "--runs",
        str(runs),
        "--wandb",
        "disabled",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "mtl", "study", *words],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while (
        time.monotonic() < deadline
        and sum(file.stat().st_size > 0 for file in runs.glob("*/metrics.jsonl")) < 1
    ):
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert "Run the same command again to resume" in said
    states = [RunFolder(path).state() for path in runs.glob("*-s*")]
    assert states
    assert set(states) == {"interrupted"}
