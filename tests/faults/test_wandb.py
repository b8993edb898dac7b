"""W&B in trouble: training ends with the numbers of a run without W&B, and says what went wrong."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from click.testing import CliRunner

from mtl.cli import main
from tests.fault_tools import Tally
from tests.wandb_peer import Peer
from tests.wandb_runs import own_home

__all__ = ["own_home"]
pytestmark = pytest.mark.faults
SECONDS = 90
SECRET = "hunter2-secret"
KEY = "0123456789" * 4

Trouble = Callable[[pytest.MonkeyPatch, Path], object]


def variables(**values: str) -> Trouble:
    """Environment variables; a name ends without its `WANDB_`."""

    def set_up(patch: pytest.MonkeyPatch, home: Path) -> None:
        for name, value in values.items():
            patch.setenv(name if name.isupper() else f"WANDB_{name.upper()}", value)

    return set_up


def file_at(variable: str) -> Trouble:
    """A variable that should name a folder and names a file."""

    def set_up(patch: pytest.MonkeyPatch, home: Path) -> None:
        (home / "file").write_text("no folder")
        patch.setenv(variable, str(home / "file"))

    return set_up


def written(place: str, content: bytes) -> Trouble:
    """A file of W&B's own with damaged content."""

    def set_up(patch: pytest.MonkeyPatch, home: Path) -> None:
        (home / place).parent.mkdir(parents=True, exist_ok=True)
        (home / place).write_bytes(content)
        patch.setenv("WANDB_CONFIG_DIR", str(home / "config"))

    return set_up


def folder_at(place: str) -> Trouble:
    return lambda patch, home: (home / place).mkdir(parents=True)


OFFLINE: dict[str, Trouble] = {
    "nothing": variables(),
    "project of odd characters": variables(project="a/b:c#d%e?"),
    "project of 200 characters": variables(project="p" * 200),
    "mode of no meaning": variables(mode="sometimes"),
    "mode disabled": variables(mode="disabled"),
    "a run id of another run": variables(run_id="another"),
    "resume must": variables(resume="must"),
    "a group and tags": variables(run_group="g", tags="a,b,c", notes="x" * 5000),
    "folder of runs is a file": file_at("WANDB_DIR"),
    "cache is a file": file_at("WANDB_CACHE_DIR"),
    "data folder is a file": file_at("WANDB_DATA_DIR"),
    "home is a file": file_at("HOME"),
    "settings are damaged": written("config/settings", b"\xff\xfe[default\nmode = "),
    "settings are a folder": folder_at("config/settings"),
    "a proxy that is not there": variables(HTTPS_PROXY="http://127.0.0.1:9"),
    "silent": variables(silent="true", console="off"),
}
ONLINE: dict[str, Trouble] = {
    "no server": variables(api_key=KEY),
    "no key": variables(),
    "a key of three letters": variables(api_key="abc"),
    "no address": variables(api_key=KEY, base_url="not an address"),
    "a password in the address": variables(
        api_key=KEY, base_url=f"http://user:{SECRET}@127.0.0.1:9"
    ),
    "netrc is a folder": folder_at(".netrc"),
    "netrc is damaged": written(".netrc", b"machine \xff\xfe login"),
}


@contextmanager
def server(patch: pytest.MonkeyPatch, refusal: Literal["error", "close"] | None) -> Iterator[Peer]:
    with Peer(refusal) as peer:
        for name, value in peer.environ().items():
            patch.setenv(name, value)
        yield peer


def train(tmp_path: Path, data: Path, name: str, mode: str) -> tuple[int, str, dict[str, object]]:
    """A short run; exit code, output, and the record."""
    runs = tmp_path / "runs" / name.replace(" ", "-")
    words = ["train", "encoder=random-tiny", f"data={data}", "tasks=sst", "limit=20",
             "train.max_steps=2", "train.batch_size=4", "--wandb", mode]  # fmt: skip
    result = CliRunner().invoke(main, [*words, "--quiet", "--runs", str(runs)])
    records = [json.loads(path.read_text()) for path in runs.glob("*/record.json")]
    return result.exit_code, result.output, records[0] if records else {}


def test_wandb_in_trouble(
    tmp_path: Path, tiny_data: Path, tally: Tally, monkeypatch: pytest.MonkeyPatch, own_home: Path
) -> None:
    """W&B in trouble: the run is done with the numbers of a run without W&B, and leaks nothing."""
    monkeypatch.setenv("MTL_CACHE", str(tmp_path / "cache"))
    _, _, plain = train(tmp_path, tiny_data, "plain", "disabled")
    cases = [(name, "offline", set_up) for name, set_up in OFFLINE.items()]
    cases += [(name, "online", set_up) for name, set_up in ONLINE.items()]
    cases += [("server answers with errors", "online", variables()),
              ("server hangs up", "online", variables())]  # fmt: skip
    refusals: dict[str, Literal["error", "close"]] = {
        "server answers with errors": "error", "server hangs up": "close",
    }  # fmt: skip
    for number, (name, mode, set_up) in enumerate(cases):
        home = tmp_path / f"home{number}"
        home.mkdir()
        with monkeypatch.context() as patch:
            patch.chdir(home)
            patch.setenv("HOME", str(home))
            set_up(patch, home)
            begun = time.monotonic()
            if name in refusals:
                with server(patch, refusals[name]):
                    code, output, record = train(tmp_path, tiny_data, name, mode)
            else:
                code, output, record = train(tmp_path, tiny_data, name, mode)
        seconds = time.monotonic() - begun
        held = code == 0 and record.get("metrics") == plain["metrics"]
        wandb = record.get("wandb") or {}
        assert isinstance(wandb, dict)
        told = wandb.get("status") in ("verified", "disabled") or bool(wandb.get("reason"))
        leaks = SECRET in output or any(
            SECRET.encode() in path.read_bytes()
            for path in (tmp_path / "runs" / name.replace(" ", "-")).rglob("*")
            if path.is_file()
        )
        about = f"{name}: exit {code}, {wandb}, {seconds:.0f} s, {output[-300:]}"
        tally.add(held and told and not leaks and seconds < SECONDS, about)
    assert len(cases) >= 20
