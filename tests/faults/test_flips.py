"""Flipped bits in the files of a run: `mtl runs verify` finds every one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mtl.errors import RunError
from mtl.inference.trained import load_trained, open_test
from mtl.runs.folder import RunFolder
from mtl.runs.verify import verify
from mtl.training.loop import train
from tests.fault_tools import Tally, as_before_digests, flips
from tests.training_tools import comparable, config, killed_before_its_evaluation

pytestmark = pytest.mark.faults


def files_of(folder: RunFolder) -> list[Path]:
    return [path for path in sorted(folder.path.rglob("*")) if path.is_file()]


@pytest.fixture
def run(tiny: dict[str, Any], tmp_path: Path) -> RunFolder:
    """A run that is done and has opened test."""
    record = train(config(tiny, train__epochs=1), runs=tmp_path)
    folder = RunFolder(tmp_path / record.run_id)
    open_test(load_trained(folder))
    return folder


def test_verify_finds_every_flip(run: RunFolder, tally: Tally) -> None:
    """Flipped bits in all files of a run but its lock, found by verify."""
    assert verify(run) == []
    for _, place in flips([path for path in files_of(run) if path.name != ".lock"], 300):
        tally.add(bool(verify(run)), place)
    assert verify(run) == []


def test_a_flip_in_the_lock_does_no_harm(run: RunFolder, tally: Tally) -> None:
    """Flipped bits in a run's lock, harmless."""
    for _, place in flips([run.path / ".lock"], 10):
        with run.lock():
            tally.add(not verify(run), place)


def test_verify_finds_flips_in_a_run_of_an_earlier_version(run: RunFolder, tally: Tally) -> None:
    """Flipped bits in weights of a run without digests, found by verify."""
    as_before_digests(run.path)
    assert verify(run) == []
    for _, place in flips(list(run.checkpoint.glob("*.safetensors")), 30):
        tally.add(bool(verify(run)), place)


def test_a_flip_in_a_saved_state_is_refused_or_does_no_harm(
    tiny: dict[str, Any], tmp_path: Path, tally: Tally
) -> None:
    """Flipped bits in a saved state, refused with the remedy, or harmless."""
    chosen = config(tiny, train__epochs=1)
    whole = comparable(train(chosen, runs=tmp_path / "whole"))

    folder = killed_before_its_evaluation(chosen, tmp_path / "stopped")
    before = {file: file.read_bytes() for file in files_of(folder)}
    for _, place in flips(sorted(folder.resume.iterdir()), 40):
        damaged = {file: file.read_bytes() for file in sorted(folder.resume.iterdir())}
        try:
            held = comparable(train(chosen, runs=tmp_path / "stopped")) == whole
        except RunError as error:
            held = "--fresh" in str(error)
        tally.add(held, place)
        folder.resume.mkdir(exist_ok=True)
        for file, content in (before | damaged).items():
            file.write_bytes(content)
        (folder.path / "record.json").unlink()
