"""The hub's data over HTTP, the command that fetches it, and the cache folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from mtl.cache import cache_folder
from mtl.commands.data import data
from mtl.data.course.files import read_course
from mtl.tasks.registry import TASKS
from tests.hub_tools import Hub, hub, mirror, own_cache

__all__ = ["hub", "mirror", "own_cache"]


COMMAND = """
import sys
from mtl.commands.data import data
from mtl.errors import MtlError
try:
    data(["fetch", *sys.argv[1:]], standalone_mode=False)
except MtlError as error:
    sys.exit(str(error))
"""


def fetch_in_own_process(
    tmp_path: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    drop = ("HF_", "XDG_CACHE_HOME")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(drop)}
    return subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments],
        cwd=Path(__file__).resolve().parents[1],
        env={
            **inherited,
            "HOME": str(home),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_files_come_over_http_and_nothing_is_left_outside_the_cache_folder(
    tmp_path: Path, hub: tuple[str, type[Hub]]
) -> None:
    done = fetch_in_own_process(tmp_path, "--json", HF_ENDPOINT=hub[0])
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["folder"] == str(tmp_path / "cache" / "hub")
    assert len(found["files"]) == 9
    assert found["files"]["sts-dev.csv"]["revision"] == TASKS["sts"].course.hub.revision
    assert len(read_course(tmp_path / "cache" / "hub", TASKS["quora"], "train")) == 4
    assert "sst: reading train from the hub's SetFit/sst5" in done.stderr
    outside = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert outside == []
    assert list((tmp_path / "cache" / "datasets").iterdir()) == []


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_by_the_server_is_one_message_with_the_remedy(
    tmp_path: Path, hub: tuple[str, type[Hub]], status: int
) -> None:
    hub[1].status = status
    done = fetch_in_own_process(tmp_path, "--tasks", "sst", HF_ENDPOINT=hub[0])
    assert done.returncode == 1
    assert "Cannot download train.jsonl of the hub's dataset SetFit/sst5" in done.stderr
    assert "--mirror FOLDER or MTL_HUB_MIRROR=FOLDER" in done.stderr
    assert "Traceback" not in done.stderr


def test_being_offline_is_one_message_with_the_remedy(tmp_path: Path) -> None:
    done = fetch_in_own_process(tmp_path, "--tasks", "sts", HF_HUB_OFFLINE="1")
    assert done.returncode == 1
    assert (
        "Cannot download train.jsonl.gz of the hub's dataset mteb/stsbenchmark-sts" in done.stderr
    )
    assert "MTL_HUB_MIRROR=FOLDER" in done.stderr
    assert "Traceback" not in done.stderr


# The command and the cache folder.
def test_fetch_prints_what_it_wrote(tmp_path: Path, mirror: Path) -> None:
    out = tmp_path / "out"
    result = CliRunner().invoke(
        data, ["fetch", "--output", str(out), "--mirror", str(mirror), "--tasks", "sst"]
    )
    assert result.exit_code == 0, result.output
    entry = json.loads((out / "fetched.json").read_text())["files"]["ids-sst-dev.csv"]
    line = next(line.split() for line in result.stdout.splitlines() if "ids-sst-dev.csv" in line)
    assert line == ["ids-sst-dev.csv", "SetFit/sst5", "2", "1", entry["fingerprint"]]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"MTL_CACHE": "/a/b", "XDG_CACHE_HOME": "/x"}, "/a/b"),
        ({"MTL_CACHE": "~/b", "XDG_CACHE_HOME": "/x"}, "/home/someone/b"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/mtl"),
        ({"XDG_CACHE_HOME": "relative"}, "/home/someone/.cache/mtl"),
        ({}, "/home/someone/.cache/mtl"),
    ],
)
def test_the_cache_folder_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str
) -> None:
    for name in ("MTL_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/someone", **environment}.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected)
