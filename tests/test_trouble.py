"""Runs with damaged folders, kills and concurrent processes: no wrong result counts as done."""

from __future__ import annotations

import errno
import json
import shutil
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtl.errors import RunError, RunInUse
from mtl.inference.trained import load_trained, open_test
from mtl.runs import checkpoint
from mtl.runs.find import find_run, run_folders
from mtl.runs.folder import RunFolder
from mtl.runs.frame import load_runs
from mtl.runs.verify import verify
from mtl.tasks.metrics import Predictions
from mtl.training.loop import train
from mtl.training.progress import Progress
from mtl.training.run import Training
from tests.fault_tools import edit
from tests.training_tools import config


class StopAfter(Progress):
    """Ends a run at the given evaluation as a kill does, before anything is saved."""

    def __init__(self, evaluations: int) -> None:
        self.left = evaluations

    def evaluated(self, step: int, metrics: Any) -> None:
        self.left -= 1
        if self.left == 0:
            raise SystemExit


def killed_after(tiny: dict[str, Any], runs: Path, evaluations: int, **changes: Any) -> RunFolder:
    """The folder of a run that was killed at an evaluation."""
    with pytest.raises(SystemExit):
        train(config(tiny, train__epochs=3, **changes), runs=runs, progress=StopAfter(evaluations))
    (path,) = runs.iterdir()
    return RunFolder(path)


def test_a_checkpoint_of_another_step_than_the_selected_one_never_ends_as_done(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = checkpoint.save

    def wrong_step(folder: Path, name: str, tensors: Any, **notes: Any) -> None:
        real(folder, name, tensors, **(notes | {"step": 99} if name == "model" else notes))

    monkeypatch.setattr(checkpoint, "save", wrong_step)
    with pytest.raises(RunError, match="holds step 99"):
        train(config(tiny), runs=tmp_path)
    monkeypatch.undo()
    (folder,) = run_folders(tmp_path)
    assert folder.state() == "failed"


def test_verify_compares_the_checkpoints_step_with_the_record(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    record = train(config(tiny), runs=tmp_path)
    folder = RunFolder(tmp_path / record.run_id)
    assert verify(folder) == []
    edit(folder.checkpoint / "model.json", step=1)
    assert any("holds step 1" in problem for problem in verify(folder))


def test_a_run_killed_right_after_an_evaluation_scores_the_same_weights_again(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    whole = train(config(tiny, train__epochs=3), runs=tmp_path / "whole")
    folder = killed_after(tiny, tmp_path / "killed", 2)
    saved = checkpoint.notes(folder.resume, "state")
    assert saved is not None
    assert saved["state"]["step"] == 2 * saved["state"]["evaluated_at"]
    record = train(config(tiny, train__epochs=3), runs=tmp_path / "killed")
    assert record.metrics == whole.metrics
    assert verify(folder) == []


@pytest.mark.parametrize("piece", ["checkpoint", "predictions", "metrics.jsonl"])
def test_going_on_without_a_piece_that_the_state_counts_on_is_refused(
    tiny: dict[str, Any], tmp_path: Path, piece: str
) -> None:
    folder = killed_after(tiny, tmp_path, 2)
    path = folder.path / piece
    shutil.rmtree(path) if path.is_dir() else path.write_text("")
    with pytest.raises(RunError, match=r"--fresh|no such predictions"):
        train(config(tiny, train__epochs=3), runs=tmp_path)
    assert folder.state() == "failed"
    assert train(config(tiny, train__epochs=3), runs=tmp_path, fresh=True).status == "done"


def test_a_fresh_start_keeps_the_count_of_test_openings_but_not_their_scores(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    record = train(config(tiny), runs=tmp_path)
    folder = RunFolder(tmp_path / record.run_id)
    open_test(load_trained(folder))
    assert "test/sst/accuracy" in load_runs(tmp_path)
    train(config(tiny), runs=tmp_path, fresh=True)
    assert [opening.before_fresh for opening in folder.openings()] == [True]
    assert "test/sst/accuracy" not in load_runs(tmp_path)
    open_test(load_trained(folder))
    assert len(folder.openings()) == 2
    assert verify(folder) == []


def test_an_opening_of_test_is_counted_before_it_shows_anything(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = train(config(tiny), runs=tmp_path)
    folder = RunFolder(tmp_path / record.run_id)
    trained = load_trained(folder)

    def killed(rows: Any) -> Predictions:
        raise SystemExit

    monkeypatch.setattr(type(trained), "predict", lambda self, rows: killed(rows))
    with pytest.raises(SystemExit):
        open_test(trained)
    (opening,) = folder.openings()
    assert opening.metrics == {}


def test_verify_recomputes_the_test_scores(tiny: dict[str, Any], tmp_path: Path) -> None:
    record = train(config(tiny), runs=tmp_path)
    folder = RunFolder(tmp_path / record.run_id)
    open_test(load_trained(folder))
    openings = json.loads((folder.path / "test.json").read_text())["openings"]
    openings[-1]["metrics"]["test/overall"] = 0.99
    edit(folder.path / "test.json", openings=openings)
    assert any("test/overall: recorded 0.99" in problem for problem in verify(folder))


def test_two_threads_never_train_at_once(tiny: dict[str, Any], tmp_path: Path) -> None:
    refused: list[RunError] = []

    class Meanwhile(Progress):
        def begin(self, run_id: str, step: int, total: int) -> None:
            def other() -> None:
                try:
                    train(config(tiny, seed=1), runs=tmp_path)
                except RunError as error:
                    refused.append(error)

            thread = threading.Thread(target=other)
            thread.start()
            thread.join()

    assert train(config(tiny), runs=tmp_path, progress=Meanwhile()).status == "done"
    assert "use a process for each run" in str(refused[0])
    assert train(config(tiny, seed=1), runs=tmp_path).status == "done"


def test_looking_at_a_run_does_not_stop_it_from_starting(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "one")
    with folder.lock():
        pass
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            folder.locked()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(50):
            with folder.lock():
                pass
    finally:
        stop.set()
        thread.join()


def test_an_id_may_hold_anything_that_the_reader_lets_through(tmp_path: Path) -> None:
    ids = [
        "plain",
        'a "quote"',
        "comma, comma",
        "carriage\rreturn",
        "line\nend",
        "tab\there",
        "\u2028",
    ]
    outputs = np.arange(len(ids), dtype=np.float32).reshape(-1, 1) / 3
    given = Predictions(
        task="sts", split="dev", ids=ids, gold=np.arange(len(ids)) / 7, outputs=outputs
    )
    RunFolder(tmp_path).save_predictions(given)
    read = RunFolder(tmp_path).predictions("dev", "sts")
    assert read.ids == ids
    assert read.gold is not None
    assert given.gold is not None
    assert np.array_equal(read.gold, given.gold)
    assert np.array_equal(read.outputs, outputs)


def test_one_damaged_run_does_not_hide_the_others(tiny: dict[str, Any], tmp_path: Path) -> None:
    good, bad = (train(config(tiny, seed=seed), runs=tmp_path) for seed in (0, 1))
    for text in ("{}", '{"half'):
        (tmp_path / bad.run_id / "record.json").write_text(text)
        assert RunFolder(tmp_path / bad.run_id).state() == "damaged"
        assert any("damaged" in problem for problem in verify(RunFolder(tmp_path / bad.run_id)))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            frame = load_runs(tmp_path)
        assert frame["run_id"].tolist() == [good.run_id]
        assert "damaged" in str(caught[0].message)
    (tmp_path / good.run_id / "checkpoint" / "model.json").write_text("{}")
    assert any("damaged" in problem for problem in verify(RunFolder(tmp_path / good.run_id)))


def test_what_a_kill_left_half_written_is_swept_away(tiny: dict[str, Any], tmp_path: Path) -> None:
    folder = killed_after(tiny, tmp_path, 2)
    left = folder.checkpoint / ".model-0.safetensors.1.tmp"
    left.write_bytes(b"half")
    train(config(tiny, train__epochs=3), runs=tmp_path)
    assert not left.exists()


def test_a_diverged_run_names_the_step_at_which_it_did(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Training.step

    def poisoned(training: Training, rows: Any) -> None:
        real(training, rows)
        if training.state.step == 3:
            for task in training.log.pending[-1].losses:
                training.log.pending[-1].losses[task].fill_(float("nan"))

    monkeypatch.setattr(Training, "step", poisoned)
    record = train(config(tiny), runs=tmp_path)
    assert record.status == "diverged"
    assert record.steps == 3
    assert str(record.error).startswith("step 3 of ")


def test_a_disk_without_locks_is_not_taken_for_a_run_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", unsupported)
    with (
        pytest.raises(RunError, match="has no file locks .No locks available.") as caught,
        RunFolder(tmp_path).lock(),
    ):
        pass
    assert not isinstance(caught.value, RunInUse)


def test_the_beginning_of_a_cell_with_a_seed_names_a_run(tmp_path: Path) -> None:
    for name in ("3f2a00000000-s0", "3f2a00000000-s1", "3f2a00000000-s11", "81c000000000-s1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text("{}")
    assert find_run(tmp_path, "3f2a-s1").run_id == "3f2a00000000-s1"
    assert find_run(tmp_path, "3f2a-s11").run_id == "3f2a00000000-s11"
    assert find_run(tmp_path, "81c0").run_id == "81c000000000-s1"
    with pytest.raises(RunError, match="the beginning of 3 runs: .* add the seed: 3f2a-s0"):
        find_run(tmp_path, "3f2a")
    with pytest.raises(RunError, match="no run '3f2a-s2'"):
        find_run(tmp_path, "3f2a-s2")
    with pytest.raises(RunError, match="holds no runs yet. `mtl train` makes one"):
        find_run(tmp_path / "none", "x")
