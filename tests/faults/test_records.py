"""Damaged files of one run: no command ends with a traceback or hangs, and no other run is hidden.

Each file of a run is damaged in each way. Commands that read many runs still show the other run;
commands on the damaged run either work or end with one error.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.cli_tools import mtl, two_runs
from tests.fault_tools import Tally
from tests.faults.many_runs import write_many_runs

__all__ = ["two_runs"]

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

FILES = (
    "record.json", "test.json", "config.yaml", "metrics.jsonl", "predictions/dev-sts.csv",
    "cross-fitted/sst.csv", "checkpoint/model.json", "resume/state.json",
)  # fmt: skip
NOBODY = 65534
DEFINITION = """
question: Which helps?
name: tiny
set: {encoder: random-tiny, data: %s, train.epochs: 1, train.batch_size: 8, train.lr: 1e-3}
seeds: [0]
arms:
  concatenated: {pairing: concat}
"""


def _replace(content: bytes) -> Callable[[Path], None]:
    return lambda path: void(path.write_bytes(content))


def void(_: object) -> None:
    """Nothing."""


def _instead(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


def _deep(path: Path) -> None:
    path.write_bytes(b'{"config": ' + b"[" * 190 + b"]" * 190 + b"}")


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "cut": lambda path: void(path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])),
    "flipped": _flip,
    "empty": _replace(b""),
    "array": _replace(b"[]\n"),
    "a word": _replace(b'"x"\n'),
    "NaN": _replace(b'{"schema": 1, "seconds": NaN, "step": NaN}\n'),
    "huge numbers": _replace(b'{"schema": 1, "seconds": 1e999, "steps": ' + b"9" * 5000 + b"}\n"),
    "duplicate keys": _replace(b'{"schema": 1, "schema": 1, "openings": 3, "metrics": 4}\n'),
    "nested": _deep,
    "nested beyond bounds": _replace(b"[" * 100_000),
    "not UTF-8": _replace(b'{"schema": 1, "run_id": "\xff"}\n'),
    "zero bytes": _replace(bytes(100)),
    "a folder": _instead(Path.mkdir),
    "a link to an endless device": _instead(lambda path: path.symlink_to("/dev/zero")),
    "a link to itself": _instead(lambda path: path.symlink_to(path.name)),
    "missing": Path.unlink,
    "no permission": lambda path: path.chmod(0),
}


def wrong_types(path: Path) -> Iterator[bytes]:
    """The JSON file, with a wrong value for each of its keys, and without a digest."""
    content = json.loads(path.read_bytes())
    content.pop("digest", None)
    content.pop("files", None)
    for key in content:
        for value in (None, "x", -1, [1], {"x": {"y": 1}}, 1e308):
            if type(value) is not type(content[key]):
                yield json.dumps(content | {key: value}).encode()


def held(result: Result, *, code: tuple[int, ...] = (0, 1, 2)) -> bool:
    """Whether a command ended by itself: no exception but its exit."""
    ended = result.exception is None or isinstance(result.exception, SystemExit)
    return ended and result.exit_code in code and "Traceback" not in result.output


class Copies:
    """Damages a copy of two runs, and calls commands on it."""

    def __init__(self, two_runs: tuple[Path, list[str]], place: Path) -> None:
        (self.source, (self.bad, self.good)), self.place = two_runs, place
        self.runs = place / "runs"

    def fresh(self) -> Path:
        """A new copy. Returns the folder of the run to damage."""
        shutil.rmtree(self.runs, ignore_errors=True)
        shutil.copytree(self.source, self.runs)
        folder = self.runs / self.bad
        (folder / "test.json").write_text('{"schema": 1, "openings": []}')
        (folder / "resume").mkdir()
        (folder / "resume" / "state.json").write_text("{}")
        return folder

    def many(self) -> bool:
        """Whether commands that read many runs work and show the other run."""
        listed = mtl("runs", "list", "--runs", self.runs, "--json")
        rows = {row["run_id"]: row["status"] for row in json.loads(listed.stdout or "[]")}
        table = mtl("runs", "list", "--runs", self.runs)
        verified = mtl("runs", "verify", "--runs", self.runs)
        return (
            held(listed, code=(0,))
            and rows.get(self.good) == "done"
            and held(table, code=(0,))
            and self.good in table.stdout
            and held(verified, code=(0, 1))
            and f"{self.good}: ok" in verified.stdout
        )

    def one(self) -> bool:
        """Whether commands on the damaged run work or end with an error."""
        commands = [("show", self.bad), ("diff", self.bad, self.good), ("verify", self.bad)]
        return all(held(mtl("runs", *words, "--runs", self.runs)) for words in commands)

    def with_model(self, definition: Path) -> bool:
        """The same of commands that take longer."""
        out = self.place / "out"
        shutil.rmtree(out, ignore_errors=True)
        row = "id\tsentence\n1\ta good cat\n"
        dry = mtl("ablate", "--grid", definition, "--dry-run", "--runs", self.runs)
        return (
            held(mtl("predict", self.bad, "--task", "sst", "--runs", self.runs, stdin=row))
            and held(mtl("export", self.bad, out / "model", "--runs", self.runs))
            and held(mtl("test", self.bad, "--runs", self.runs))
            and held(mtl("report", self.bad, "--runs", self.runs, "--output", out / "reports"))
            and held(dry, code=(0,))
        )


@pytest.fixture
def copies(two_runs: tuple[Path, list[str]], tmp_path: Path) -> Copies:
    return Copies(two_runs, tmp_path)


def test_damaged_files_end_no_command_on_runs(copies: Copies, tally: Tally) -> None:
    """Damaged files of a run, listed, shown, compared and verified beside another."""
    for file in FILES:
        for name, damage in DAMAGES.items():
            damage(copies.fresh() / file)
            tally.add(copies.many() and copies.one(), f"{file}: {name}")


def test_damaged_files_end_no_command_on_models(
    copies: Copies, tally: Tally, tiny_data: Path, tmp_path: Path
) -> None:
    """Damaged files of a run, for test, predict, export, report and a dry run."""
    definition = tmp_path / "definition.yaml"
    definition.write_text(DEFINITION % tiny_data)
    for file in FILES[:7]:
        for name in ("flipped", "array", "a link to an endless device"):
            DAMAGES[name](copies.fresh() / file)
            tally.add(copies.with_model(definition), f"{file}: {name}")


def test_wrong_types_end_no_command_on_runs(copies: Copies, tally: Tally) -> None:
    """Wrong types of each key of a run's JSON files, listed, shown, compared and verified."""
    for file in ("record.json", "checkpoint/model.json"):
        for content in wrong_types(copies.fresh() / file):
            (copies.runs / copies.bad / file).write_bytes(content)
            tally.add(copies.many() and copies.one(), f"{file}: {content[:4000]!r}")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_folder_that_may_not_be_entered_ends_no_command(copies: Copies, tally: Tally) -> None:
    """Folders of a run that may not be entered, listed, shown, compared and verified."""
    place = Path(tempfile.gettempdir()) / f"mtl-closed-{os.getpid()}"
    copies.runs = place / "runs"
    DAMAGES["no permission"](copies.fresh() / "record.json")
    assert copies.many() and copies.one()  # as root, who may import what commands import
    shutil.rmtree(place)
    for part in ("", "predictions", "checkpoint", "resume"):
        folder = copies.fresh()
        place.chmod(0o755)
        copies.runs.chmod(0o755)
        (folder / part).chmod(0)
        os.seteuid(NOBODY)
        try:
            tally.add(copies.many() and copies.one(), part or "the run")
        finally:
            os.seteuid(0)
            shutil.rmtree(place)


def test_commands_on_many_runs_read_each_file_at_most_once(
    tally: Tally, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that a command on many runs opens more than once, or needlessly."""
    ids = write_many_runs(tmp_path / "runs", 600)
    opened: Counter[str] = Counter()
    real = os.open

    def counted(path: Any, *rest: Any, **options: Any) -> int:
        opened[str(path)] += 1
        return real(path, *rest, **options)

    monkeypatch.setattr(os, "open", counted)
    listed = mtl("runs", "list", "--runs", tmp_path / "runs")
    assert all(run_id in listed.stdout for run_id in ids)
    for path, times in opened.items():
        name = Path(path).name
        tally.add(name in ("record.json", "test.json") and times == 1, f"{name}: {times} times")
    opened.clear()
    assert mtl("runs", "show", ids[0], "--runs", tmp_path / "runs").exit_code == 0
    for path in opened:
        tally.add(ids[0] in path, path)
