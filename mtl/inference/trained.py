"""The model of a finished run, loaded from its folder: for `mtl test`, `mtl predict`, notebooks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mtl.data.course.files import OnBadRow
from mtl.data.load import load_rows
from mtl.data.rows import Rows, fingerprint
from mtl.data.tokens import tokenize_rows
from mtl.errors import ConfigError, DataError, RunError
from mtl.inference.evaluate import Evaluator
from mtl.model.device import choose_device
from mtl.model.find import find_encoder
from mtl.model.frozen.cache import make_frozen_cache
from mtl.model.multitask import MultiTaskModel
from mtl.model.pretrained import Pretrained
from mtl.runs import checkpoint
from mtl.runs.folder import RunFolder
from mtl.runs.prepare import make_pairer
from mtl.runs.record import Opening, Record
from mtl.tasks.metrics import Predictions, score_all
from mtl.tasks.registry import TASKS
from mtl.tasks.task import CourseData, Split, TaskName

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The model of a run, with all that predicting needs."""

    folder: RunFolder
    record: Record
    pretrained: Pretrained
    tokenizer: Tokenizer
    evaluator: Evaluator

    @property
    def tasks(self) -> tuple[TaskName, ...]:
        return tuple(self.record.config["tasks"])

    def predict(self, rows: Rows) -> Predictions:
        """The outputs for rows of one of the run's tasks. Raises ConfigError for another task.

        Where the loss was one of order (`losses.NAME=cosent`), scores are put on the scale of the
        labels: by the least-squares line of the run's dev labels on its dev scores.
        """
        if rows.task.name not in self.tasks:
            raise ConfigError(
                f"{self.folder.run_id} was trained on {', '.join(self.tasks)}, "
                f"not on {rows.task.name}."
            )
        key: tuple[TaskName, Split] = (rows.task.name, rows.split)
        predictions = self.evaluator.predict(tokenize_rows(self.tokenizer, {key: rows})[key])
        if not self.folder.config().losses.ranks(rows.task.name):
            return predictions
        slope, start = label_scale(self.folder.predictions("dev", rows.task.name))
        return replace(predictions, outputs=(slope * predictions.outputs + start).astype("f4"))


def label_scale(dev: Predictions) -> tuple[float, float]:
    """The slope and the start of the least-squares line from scores to labels.

    1 and 0, which change nothing, where the line does not rise: it would turn the order round.

    >>> outputs = np.array([[0.0], [0.5], [1.0]], dtype=np.float32)
    >>> dev = Predictions(task="sts", split="dev", ids=["a", "b", "c"],
    ...                   gold=np.array([1.0, 2.0, 3.0]), outputs=outputs)
    >>> [round(number, 6) for number in label_scale(dev)]
    [2.0, 1.0]
    """
    assert dev.gold is not None
    scores = dev.outputs[:, 0].astype(np.float64)
    centred = scores - scores.mean() if len(scores) else scores
    rise = float(centred @ dev.gold)
    if not rise > 0:
        return 1.0, 0.0
    slope = rise / float(centred @ centred)
    return slope, float(dev.gold.mean() - slope * scores.mean())


def done_record(folder: RunFolder) -> Record:
    """The record of a run that is done. Raises RunError for another."""
    record = folder.record()
    if record is None or record.status != "done":
        raise RunError(f"{folder.path}: {folder.state()}; only a run that is done has a model.")
    return record


def load_trained(folder: RunFolder, device: str | None = None) -> Trained:
    """Load a finished run's selected weights.

    Raises RunError where the run is not done, or where its weights or its encoder have changed.
    """
    record = done_record(folder)
    config = folder.config()
    TASKS.learn(record.definitions())
    tensors, notes = checkpoint.load(folder.checkpoint, "model")
    pretrained = find_encoder(config.encoder)
    encoder = notes.get("encoder")
    if not isinstance(encoder, dict) or encoder.get("fingerprint") != pretrained.fingerprint:
        raise RunError(
            f"{folder.path}: the encoder {config.encoder} at {pretrained.folder} is not the one "
            "that the run was trained from; its frozen part would not fit."
        )
    chosen_device = choose_device(device)
    model = MultiTaskModel(config, pretrained.load(config.seed)).place(chosen_device)
    _load_weights(model, tensors, folder)
    tokenizer = pretrained.tokenizer()
    # As in training, so that a sentence gets the same bits; new text would only fill the store.
    frozen_cache = make_frozen_cache(
        config,
        model.encoder,
        model.freezing.cacheable_layers,
        pretrained.fingerprint,
        chosen_device,
        cache_bytes=0,
    )
    evaluator = Evaluator(
        model,
        make_pairer(config, pretrained),
        chosen_device,
        config.train.precision,
        frozen_cache=frozen_cache,
    )
    return Trained(
        folder=folder,
        record=record,
        pretrained=pretrained,
        tokenizer=tokenizer,
        evaluator=evaluator,
    )


def _load_weights(model: MultiTaskModel, tensors: Mapping[str, Tensor], folder: RunFolder) -> None:
    """Copy a checkpoint's tensors into a model of the run's config."""
    import torch

    parameters = model.trainable()
    shapes = {name: parameter.shape for name, parameter in parameters.items()}
    if {name: tensor.shape for name, tensor in tensors.items()} != shapes:
        raise RunError(
            f"{folder.path}: the checkpoint's tensors are not those of its config. "
            "Train the run again with --fresh."
        )
    with torch.no_grad():
        for name, tensor in tensors.items():
            parameters[name].copy_(tensor)


def open_test(trained: Trained, on_bad_row: OnBadRow = "error", data: str | None = None) -> Opening:
    """Score the test split, save its predictions, and record the opening in `test.json`.

    `data` is where the run's data is now, if it is not where the config says. Raises DataError
    where labels are hidden, or where the training and dev rows are not those that the run was
    trained on.
    """
    config, tasks = trained.folder.config(), trained.tasks
    data = data_of_run(trained, data, on_bad_row)
    rows: Mapping[tuple[TaskName, Split], Rows] = load_rows(
        data, tasks, ("test",), on_bad_row=on_bad_row
    )
    hidden = [
        f"{data}: {part.task.file_name('test')}"
        if isinstance(part.task.data, CourseData)
        else f"task {part.task.name}: its test split"
        for part in rows.values()
        if part.labels is None
    ]
    if hidden:
        raise DataError(
            f"{', '.join(hidden)}: no labels to score against. Use `mtl predict` for these."
        )
    at, test_fingerprint = datetime.now(UTC).isoformat(timespec="seconds"), fingerprint(rows)
    opening = Opening(at=at, data=test_fingerprint, metrics={}, undefined={})
    with trained.folder.lock():
        trained.folder.add_opening(opening)  # counted before any score is known
        predictions = {task: trained.predict(rows[task, "test"]) for task in tasks}
        scores = score_all(predictions, tasks, config.overall, "test")
        opening = Opening(
            at=at, data=test_fingerprint, metrics=scores.metrics, undefined=scores.reasons
        )
        for part in predictions.values():
            trained.folder.save_predictions(part)
        return trained.folder.complete_opening(opening)


def data_of_run(trained: Trained, data: str | None, on_bad_row: OnBadRow) -> str:
    """Where the run's data is. Raises DataError where it is missing or not the same."""
    recorded = trained.folder.config().data
    if (
        data is None
        and any(isinstance(TASKS[task].data, CourseData) for task in trained.tasks)
        and recorded not in ("sample", "hub")
        and not Path(recorded).expanduser().is_dir()
    ):
        raise DataError(
            f"{recorded}: the run's data is not there, seen from the current folder. "
            "Say where it is: --data FOLDER."
        )
    data = data or recorded
    current = fingerprint(load_rows(data, trained.tasks, ("train", "dev"), on_bad_row=on_bad_row))
    expected = trained.record.data.fingerprint
    if current != expected:
        raise DataError(
            f"{data}: its training and dev rows are not those that {trained.folder.run_id} was "
            f"trained on (fingerprint {current}, recorded {expected}). "
            "Test scores would not belong to the run."
        )
    return data
