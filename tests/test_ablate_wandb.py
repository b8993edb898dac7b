"""What a grid leaves in Weights & Biases: its runs as a group, and a report with the comparison."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mtl.ablation.definition import read_definition
from mtl.ablation.engine import run_grid
from mtl.commands.sync import sync_runs
from mtl.documents.yaml_file import dump_yaml
from mtl.runs.options import PoolOptions
from mtl.tracking.outcome import WandbMode
from tests.grid_trains import plainly
from tests.wandb_peer import Peer
from tests.wandb_runs import own_home, peer

__all__ = ["own_home", "peer"]


def options(folder: Path, wandb: WandbMode) -> PoolOptions:
    return PoolOptions(runs=folder / "runs", workers=1, wandb=wandb)


def test_a_grid_is_a_group_with_a_report(
    tiny_data: Path, tmp_path: Path, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[1]))
    settings = {"encoder": "random-tiny", "data": str(tiny_data), "train.epochs": 1}
    plain = {
        "question": "Does it help?",
        "set": settings,
        "grid": {"pairing": ["siamese", "concat"]},
        "seeds": [0],
    }
    path = tmp_path / "watched.yaml"
    path.write_text(dump_yaml(plain))
    done = run_grid(read_definition(path), train=plainly, options=options(tmp_path, "online"))

    assert {run.group for run in peer.runs.values()} == {"watched"}
    trained = {name: run for name, run in peer.runs.items() if run.job_type == "train"}
    assert set(trained) == {f"{arm.cell}-s0" for arm in done.results.arms}
    concat = trained[f"{done.results.arms[1].cell}-s0"]
    assert "pairing=concat" in concat.tags
    (report,) = (run for run in peer.runs.values() if run.job_type == "report")
    baseline = done.results.arms[0]
    assert report.summary["baseline/overall"] == pytest.approx(
        baseline.scores["overall"].mean, rel=1e-12
    )
    tables = [
        json.loads(content)
        for name, content in report.files.items()
        if name.endswith(".table.json")
    ]
    (table,) = tables
    assert table["columns"][0] == "arm"
    assert [row[0] for row in table["data"]] == ["baseline", "pairing=concat"]
    # The client keeps a table as an artifact too, which this small server does not take.
    assert {*peer.unknown} <= {"ArtifactType", "CreateArtifact", "ServerFeaturesQuery"}

    calls = len(peer.calls)
    again = run_grid(read_definition(path), train=plainly, options=options(tmp_path, "online"))
    assert again.trained == 0
    assert len(peer.calls) == calls, "nothing new, and something was sent"


def test_what_a_grid_logged_offline_can_be_sent_later(
    tiny_data: Path, tmp_path: Path, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[1]))
    settings = {"encoder": "random-tiny", "data": str(tiny_data), "train.epochs": 1}
    plain = {
        "question": "Does it help?",
        "set": settings,
        "arms": {"mean": {"pooling": "mean"}},
        "seeds": [0],
    }
    path = tmp_path / "later.yaml"
    path.write_text(dump_yaml(plain))
    run_grid(read_definition(path), train=plainly, options=options(tmp_path, "offline"))
    assert not peer.runs
    outcomes = sync_runs(tmp_path / "runs")
    assert len(outcomes) == 3
    assert {run.job_type for run in peer.runs.values()} == {"train", "report"}
