"""W&B gets a true copy of a run, and the copy is verified. The real client runs on loopback."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mtl.errors import ConfigError, RunError
from mtl.tracking.client import client_environ
from mtl.tracking.mode import has_api_key, mode_and_reason, resolve_mode
from mtl.tracking.open import open_tracker
from mtl.tracking.outcome import WandbMode
from mtl.tracking.wandb_copy import compare, read_back, sessions
from tests.wandb_peer import API_KEY, Peer
from tests.wandb_runs import SUMMARY, info, inspect, logged, own_home, peer, tracker

__all__ = ["own_home", "peer"]


@pytest.mark.parametrize(
    ("choice", "named", "key", "mode"),
    [
        ("disabled", "online", API_KEY, "disabled"),
        ("online", "disabled", "", "online"),
        (None, "disabled", API_KEY, "disabled"),
        (None, "offline", API_KEY, "offline"),
        (None, "dryrun", API_KEY, "offline"),
        (None, "run", "", "online"),
        (None, "", API_KEY, "online"),
        (None, "", "", "offline"),
    ],
)
def test_a_choice_beats_the_variable_and_the_variable_beats_the_key(
    choice: WandbMode | None, named: str, key: str, mode: WandbMode, own_home: Path
) -> None:
    assert (
        resolve_mode(choice, {"WANDB_MODE": named, "WANDB_API_KEY": key, "HOME": str(own_home)})
        == mode
    )


def test_an_unknown_mode_in_the_environment_is_named() -> None:
    with pytest.raises(ConfigError, match="WANDB_MODE='sometimes'.*online, offline, disabled"):
        resolve_mode(None, {"WANDB_MODE": "sometimes"})


def test_a_netrc_entry_counts_for_the_server_in_use_only(own_home: Path) -> None:
    (own_home / ".netrc").write_text(f"machine api.wandb.ai login user password {API_KEY}\n")
    assert resolve_mode(None, {"HOME": str(own_home)}) == "online"
    assert (
        resolve_mode(None, {"HOME": str(own_home), "WANDB_BASE_URL": "https://wandb.example.org"})
        == "offline"
    )
    settings = own_home / ".config" / "wandb" / "settings"
    settings.parent.mkdir(parents=True)
    settings.write_text("[default]\nbase_url = https://wandb.example.org\n")
    assert not has_api_key({"HOME": str(own_home)})


def test_a_broken_netrc_file_counts_as_none(own_home: Path) -> None:
    (own_home / ".netrc").write_text("machine\n")
    assert resolve_mode(None, {"HOME": str(own_home)}) == "offline"


def test_compare_finds_what_is_missing_altered_or_no_number_and_nothing_else() -> None:
    record = {
        "same": 0.1,
        "whole": 2.0,
        "unknown": None,
        "nan": math.nan,
        "altered": 0.5,
        "missing": 0.25,
        "text": 1.0,
    }
    differences = compare(
        record, {"same": 0.1, "whole": 2, "altered": 0.5000001, "text": "NaN", "_step": 3}
    )
    assert differences == [
        "altered is 0.5 in the record and 0.5000001 in W&B",
        "missing is 0.25 in the record and missing in W&B",
        "text is 1.0 in the record and 'NaN' in W&B",
    ]


def test_disabled_writes_nothing(tmp_path: Path) -> None:
    about = info(tmp_path)
    off = open_tracker("disabled", about)
    off.log(0, {"train/loss": 1.0})
    assert off.finish(SUMMARY).model_dump() == {
        "mode": "disabled",
        "id": None,
        "status": "disabled",
        "reason": None,
    }
    assert off.abort("interrupted").status == "disabled"
    assert not about.folder.exists()
    with pytest.raises(RunError, match="not logged"):
        read_back(about.folder, "disabled", about.run_id)


def test_tracking_never_imports_wandb_into_training() -> None:
    script = "import sys, mtl.tracking.open; sys.exit('wandb' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[1]).returncode
        == 0
    )


def test_an_offline_run_is_verified_by_reading_it_back(tmp_path: Path, own_home: Path) -> None:
    about, before = info(tmp_path), dict(os.environ)
    run = tracker("offline", about)
    for step in range(5):
        run.log(step, {"train/loss": 1 / (step + 1), "dev/sst/accuracy": 0.1 * step})
    assert run.finish(SUMMARY).model_dump() == {
        "mode": "offline",
        "id": about.run_id,
        "status": "verified",
        "reason": None,
    }
    copy = read_back(about.folder, "offline", about.run_id)
    assert copy["dev/sst/accuracy"] == 0.5, (
        "the summary is what finish was given, not the last that was logged"
    )
    assert copy["dev/sts/pearson"] == 1 / 3
    assert "dev/overall" not in copy
    altered = SUMMARY | {"dev/sts/pearson": 0.3}
    assert compare(altered, copy) == [f"dev/sts/pearson is 0.3 in the record and {1 / 3!r} in W&B"]
    assert list(own_home.iterdir()) == [], "nothing is written outside the run's folder"
    assert dict(os.environ) == before


def test_two_runs_in_one_process_stay_apart(tmp_path: Path) -> None:
    first, second = (info(tmp_path, run_id) for run_id in ("aaaaaaaaaaaa-s0", "bbbbbbbbbbbb-s0"))
    runs = [tracker("offline", about) for about in (first, second)]
    for step in range(3):
        for number, run in enumerate(runs):
            run.log(step, {"train/loss": number + step / 10})
    assert [
        run.finish({"dev/overall": float(number)}).status for number, run in enumerate(runs)
    ] == ["verified"] * 2
    copies = [read_back(about.folder, "offline", about.run_id) for about in (first, second)]
    assert [copy["dev/overall"] for copy in copies] == [0, 1]
    assert [copy["train/loss"] for copy in copies] == [0.2, 1.2]


def test_an_aborted_run_is_closed_as_failed_and_keeps_what_it_logged(tmp_path: Path) -> None:
    about = info(tmp_path)
    run = tracker("offline", about)
    run.log(7, {"train/loss": 0.25})
    outcome = run.abort("interrupted at step 7")
    assert outcome.status == "unverified"
    assert (outcome.reason or "").startswith("interrupted at step 7")
    assert run.abort("again") == outcome
    seen = inspect(sessions(about.folder)[0])
    assert (seen["exit_code"], seen["step"], seen["summary"]["train/loss"]) == (1, 7, 0.25)


def test_an_online_run_arrives_whole_and_is_verified(
    tmp_path: Path, own_home: Path, peer: Peer
) -> None:
    about = info(tmp_path)
    run = tracker("online", about)
    for step in (0, 10, 20):
        run.log(
            step,
            {
                "train/loss": 1 / (step + 1),
                "dev/overall": None,
                "dev/sts/pearson": math.nan,
                "lr": math.inf,
            },
        )
    file = about.folder / "metrics.jsonl"
    file.write_text("{}\n")
    assert run.finish(SUMMARY, [file]).model_dump() == {
        "mode": "online",
        "id": about.run_id,
        "status": "verified",
        "reason": None,
    }
    there = peer.runs[about.run_id]
    assert {key: value for key, value in there.config.items() if key != "_wandb"} == about.config
    assert (there.project, there.group, there.job_type) == ("mtl", "quickstart", "train")
    assert there.tags == ["surgery=dominant", "x" * 64]
    assert [(row["_step"], row["train/loss"]) for row in there.history] == [
        (0, 1),
        (10, 1 / 11),
        (20, 1 / 21),
    ]
    assert {name for row in there.history for name in row if not name.startswith("_")} == {
        "train/loss"
    }
    assert {name: value for name, value in there.summary.items() if not name.startswith("_")} == {
        "train/loss": 1 / 21, "dev/sst/accuracy": 0.5, "dev/sts/pearson": 1 / 3,
    }  # fmt: skip
    assert b"NaN" not in peer.bytes_received
    assert there.files["metrics.jsonl"] == b"{}\n"
    assert there.exit_code == 0
    assert peer.unknown == []
    assert list(own_home.iterdir()) == []


def test_the_project_comes_from_the_environment_and_what_a_run_is_does_not(
    tmp_path: Path, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "freezing")
    for name, value in {
        "MODE": "disabled",
        "RUN_ID": "other",
        "RUN_GROUP": "other",
        "NAME": "other",
    }.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    about = info(tmp_path, group=None)
    assert logged("online", about).status == "verified"
    (there,) = peer.runs.values()
    assert list(peer.runs) == [about.run_id]
    assert (there.project, there.group, there.name) == ("freezing", None, None)


def test_a_server_that_holds_other_numbers_is_reported(tmp_path: Path, peer: Peer) -> None:
    about = info(tmp_path)
    assert logged("online", about).status == "verified"
    there = peer.runs[about.run_id]
    there.streams["wandb-summary.json"] = [json.dumps(there.summary | {"dev/sst/accuracy": 0.75})]
    assert compare(SUMMARY, read_back(about.folder, "online", about.run_id)) == [
        "dev/sst/accuracy is 0.5 in the record and 0.75 in W&B"
    ]


@pytest.mark.parametrize("place", ["wandb", ".wandb"])
def test_settings_files_of_wandb_decide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {"HOME": str(tmp_path / "home"), "WANDB_API_KEY": "k" * 40}
    assert resolve_mode(None, environ) == "online"
    user = tmp_path / "home" / ".config" / "wandb" / "settings"
    user.parent.mkdir(parents=True)
    user.write_text("[default]\nmode = disabled\nentity = us\nproject = ours\n")
    assert mode_and_reason(environ) == ("disabled", str(user))
    (tmp_path / place).mkdir()
    (tmp_path / place / "settings").write_text("[default]\nmode = dryrun\nproject = mine\n")
    assert mode_and_reason(environ) == ("offline", f"{place}/settings")
    assert mode_and_reason(environ | {"WANDB_MODE": "online"}) == ("online", "WANDB_MODE")
    assert resolve_mode(None, environ | {"WANDB_DISABLED": "true"}) == "disabled"
    assert resolve_mode("online", environ) == "online"
    inherited = client_environ(tmp_path / "run", environ)
    assert (inherited["WANDB_ENTITY"], inherited["WANDB_PROJECT"]) == ("us", "mine")
    (tmp_path / place / "settings").write_text("[default]\nmode = sometimes\n")
    with pytest.raises(ConfigError, match="'sometimes' is not a mode"):
        resolve_mode(None, environ)


def test_variables_that_would_change_a_copy_are_left_out(tmp_path: Path) -> None:
    environ = {"WANDB_FORK_FROM": "x", "WANDB_RESUME_FROM": "x", "WANDB_ENTITY": "us"}
    inherited = client_environ(tmp_path, environ)
    assert "WANDB_FORK_FROM" not in inherited
    assert "WANDB_RESUME_FROM" not in inherited
    assert inherited["WANDB_ENTITY"] == "us"
