"""`mtl sync` delivers what W&B does not have yet, once, and says what it could not deliver."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mtl.commands.sync import sync
from mtl.errors import ConfigError
from mtl.tracking.wandb_copy import compare, read_back
from tests.wandb_peer import API_KEY, Peer
from tests.wandb_runs import (
    RUN,
    SHORT,
    SUMMARY,
    info,
    logged,
    own_home,
    peer,
    tracker,
    wait_until_ready,
)

__all__ = ["own_home", "peer"]


def run_sync(tmp_path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(sync, [*arguments, "--runs", str(tmp_path / "runs")])


def outcomes(tmp_path: Path, *arguments: str) -> list[tuple[str, str, int]]:
    result = run_sync(tmp_path, "--json", *arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return [(item["run"], item["status"], item["sessions"]) for item in json.loads(result.stdout)]


def steps(peer: Peer, run_id: str = RUN) -> list[int]:
    return [row["_step"] for row in peer.runs[run_id].history]


def test_an_offline_run_is_delivered_once(tmp_path: Path, peer: Peer, own_home: Path) -> None:
    about = info(tmp_path)
    logged("offline", about)
    assert peer.runs == {}
    assert outcomes(tmp_path) == [(RUN, "synced", 1)]
    there = peer.runs[RUN]
    assert steps(peer) == [0, 1, 2]
    assert there.config["train"] == {"lr": 1e-5}
    assert (there.group, there.job_type, there.tags[0]) == (
        "quickstart",
        "train",
        "surgery=dominant",
    )
    assert compare(SUMMARY, read_back(about.folder, "online", RUN)) == []
    calls = len(peer.calls)
    assert outcomes(tmp_path) == [(RUN, "nothing to sync", 0)]
    assert len(peer.calls) == calls
    assert peer.unknown == []
    assert list(own_home.iterdir()) == [], "nothing is written outside the run's folder"


def test_the_sessions_of_a_resumed_run_become_one_run(tmp_path: Path, peer: Peer) -> None:
    about = info(tmp_path)
    first = tracker("offline", about)
    for step in range(3):
        first.log(step, {"train/loss": 1.0})
    first.abort("interrupted")
    logged("offline", about, range(3, 6))
    assert outcomes(tmp_path) == [(RUN, "synced", 2)]
    assert steps(peer) == [0, 1, 2, 3, 4, 5]
    assert peer.runs[RUN].summary["dev/sst/accuracy"] == 0.5
    assert peer.runs[RUN].exit_code == 0


def test_a_session_after_a_sync_is_added_to_the_run(tmp_path: Path, peer: Peer) -> None:
    about = info(tmp_path)
    logged("offline", about, range(3))
    assert outcomes(tmp_path) == [(RUN, "synced", 1)]
    logged("offline", about, range(3, 6))
    assert outcomes(tmp_path, RUN) == [(RUN, "synced", 1)]
    assert steps(peer) == [0, 1, 2, 3, 4, 5]


def test_what_a_dying_server_missed_is_delivered_to_the_next(
    tmp_path: Path, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = info(tmp_path)
    run = tracker("online", about, SHORT)
    run.log(0, {"train/loss": 1.0})
    wait_until_ready(run)
    peer.die()
    run.log(1, {"train/loss": 0.5})
    assert run.finish(SUMMARY).status == "degraded"
    with Peer() as healthy:
        monkeypatch.setenv("WANDB_BASE_URL", healthy.url)
        assert outcomes(tmp_path) == [(RUN, "synced", 1)]
        assert steps(healthy) == [0, 1]
        assert healthy.runs[RUN].summary["dev/sts/pearson"] == 1 / 3


def test_a_run_that_no_server_took_is_delivered_later(tmp_path: Path, peer: Peer) -> None:
    peer.refuse = "error"
    assert logged("online", info(tmp_path), limits=SHORT).status == "degraded"
    peer.refuse = None
    assert {status for _, status, _ in outcomes(tmp_path)} == {"synced"}
    assert steps(peer) == [0, 1, 2]
    assert peer.runs[RUN].summary["dev/sst/accuracy"] == 0.5


def test_a_run_that_was_verified_online_is_not_sent_again(tmp_path: Path, peer: Peer) -> None:
    assert logged("online", info(tmp_path)).status == "verified"
    assert outcomes(tmp_path) == [(RUN, "nothing to sync", 0)]


def test_a_run_that_is_being_written_is_left_alone(tmp_path: Path, peer: Peer) -> None:
    run = tracker("offline", info(tmp_path))
    wait_until_ready(run)
    assert outcomes(tmp_path) == [(RUN, "still running", 1)]
    assert run.finish(SUMMARY).status == "verified"
    assert outcomes(tmp_path) == [(RUN, "synced", 1)]


def test_a_failure_is_named_and_sets_the_exit_code_and_spares_the_others(
    tmp_path: Path, peer: Peer
) -> None:
    good, bad = info(tmp_path, "aaaaaaaaaaaa-s0"), info(tmp_path, "bbbbbbbbbbbb-s0")
    logged("offline", good)
    (bad.folder / "wandb" / "offline-run-20240101_000000-x").mkdir(parents=True)
    (bad.folder / "wandb" / "offline-run-20240101_000000-x" / "run-x.wandb").write_bytes(
        b"no log at all"
    )
    result = run_sync(tmp_path)
    assert result.exit_code == 1
    first, second = result.stdout.splitlines()
    assert first == "aaaaaaaaaaaa-s0  synced"
    assert second.startswith("bbbbbbbbbbbb-s0  failed: ")
    assert "sending" in result.stderr, "progress is on stderr"
    assert "sending" not in result.stdout


def test_a_server_that_is_away_is_not_tried_for_every_run(
    tmp_path: Path, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_X_GRAPHQL_RETRY_MAX", "1")
    monkeypatch.setattr("mtl.commands.sync.MAX_FAILURES", 1)
    logged("offline", info(tmp_path, "run-0"))
    source = next((tmp_path / "runs" / "run-0").glob("wandb/offline-run-*/*.wandb"))
    for number in range(1, 3):
        copy = tmp_path / "runs" / f"run-{number}" / "wandb" / source.parent.name / source.name
        copy.parent.mkdir(parents=True)
        copy.write_bytes(source.read_bytes())
    peer.refuse = "error"
    result = run_sync(tmp_path)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert len(lines) == 3
    assert all("failed: " in line for line in lines)
    assert all("HTTP 500" in line for line in lines[:1])
    assert all("skipped" in line for line in lines[1:])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--runs", "nowhere"], "no folder 'nowhere' of runs.*--runs"),
        (["0123456789ab-s1"], "no run '0123456789ab-s1'.*Did you mean '0123456789ab-s0'"),
    ],
)
def test_a_folder_or_run_that_is_not_there_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    (tmp_path / "runs" / RUN).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(sync, arguments)
    assert isinstance(result.exception, ConfigError)
    assert result.exception.exit_code == 2
    with pytest.raises(ConfigError, match=message):
        raise result.exception


def test_a_missing_key_is_said_before_anything_is_sent(
    tmp_path: Path, peer: Peer, monkeypatch: pytest.MonkeyPatch, own_home: Path
) -> None:
    logged("offline", info(tmp_path))
    monkeypatch.delenv("WANDB_API_KEY")
    result = run_sync(tmp_path)
    assert isinstance(result.exception, ConfigError)
    assert "wandb login" in str(result.exception)
    assert peer.calls == []
    host = peer.url.removeprefix("http://")
    (own_home / ".netrc").write_text(f"machine {host} login user password {API_KEY}\n")
    assert outcomes(tmp_path) == [(RUN, "synced", 1)], "a key in netrc will do"


def test_the_example_in_the_help_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    text: Any = CliRunner().invoke(sync, ["-h"]).stdout
    example = next(line for line in text.splitlines() if line.startswith("    mtl sync"))
    result = CliRunner().invoke(sync, shlex.split(example.split("mtl sync", 1)[1]))
    assert result.exit_code == 0, result.exception
    assert result.stdout == "no runs in runs\n"
