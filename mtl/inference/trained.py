"""A finished run's model, back from its folder: for `mtl test`, `mtl predict` and notebooks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mtl.data.course.files import OnBadRow
from mtl.data.load import load_rows
from mtl.data.rows import Rows, fingerprint
from mtl.data.tokens import tokenize_rows
from mtl.errors import ConfigError, DataError, RunError
from mtl.inference.evaluate import Evaluator
from mtl.model.device import choose_device
from mtl.model.freezing import Freezing
from mtl.model.frozen.prefix import make_prefix
from mtl.model.multitask import MultiTaskModel
from mtl.model.pretrained import Pretrained, find_encoder
from mtl.runs import checkpoint
from mtl.runs.folder import RunFolder
from mtl.runs.prepare import make_pairer
from mtl.runs.record import Opening, Record
from mtl.tasks.metrics import Predictions, score_all
from mtl.tasks.registry import Split, TaskName

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A run's model, ready to label rows."""

    folder: RunFolder
    record: Record
    pretrained: Pretrained
    tokenizer: Tokenizer
    evaluator: Evaluator

    @property
    def tasks(self) -> tuple[TaskName, ...]:
        return tuple(self.record.config["tasks"])

    def predict(self, rows: Rows) -> Predictions:
        """Outputs for rows of one of the run's tasks. Raises ConfigError for another task."""
        if rows.task.name not in self.tasks:
            raise ConfigError(
                f"{self.folder.run_id} was trained on {', '.join(self.tasks)}, not on {rows.task.name}."
            )
        key: tuple[TaskName, Split] = (rows.task.name, rows.split)
        return self.evaluator.predict(tokenize_rows(self.tokenizer, {key: rows})[key])


def load_trained(folder: RunFolder, device: str | None = None) -> Trained:
    """The selected weights of a finished run. Raises RunError where there are none, or where they or the encoder changed."""
    import torch

    record = folder.record()
    if record is None or record.status != "done":
        raise RunError(
            f"{folder.path}: {folder.state()}; only a run that is done has a model to use."
        )
    config = folder.config()
    tensors, notes = checkpoint.load(folder.checkpoint, "model")
    pretrained = find_encoder(config.encoder)
    if pretrained.fingerprint != notes["encoder"]["fingerprint"]:
        raise RunError(
            f"{folder.path}: the encoder {config.encoder} at {pretrained.folder} is not the one that the run was trained "
            "from; its frozen part would not fit."
        )
    where = choose_device(device)
    freezing = Freezing(config.freeze, pretrained.encoder_config.layers, config.tasks)
    model = MultiTaskModel(config, pretrained.load(), freezing=freezing).placed(where)
    parameters = dict(model.named_parameters())
    if tensors.keys() != model.trainable().keys():
        raise RunError(
            f"{folder.path}: the checkpoint's tensors are not those of its config. Train it again with --fresh."
        )
    with torch.no_grad():
        for name, tensor in tensors.items():
            parameters[name].copy_(tensor)
    tokenizer = pretrained.tokenizer()
    # As in training, so that the same sentence gets the same bits; new text would only fill the store up.
    prefix = make_prefix(
        config, model.encoder, freezing.fixed, pretrained.fingerprint, where, cache_bytes=0
    )
    evaluator = Evaluator(
        model, make_pairer(config, tokenizer), where, config.train.precision, prefix=prefix
    )
    return Trained(
        folder=folder,
        record=record,
        pretrained=pretrained,
        tokenizer=tokenizer,
        evaluator=evaluator,
    )


def open_test(trained: Trained, on_bad_row: OnBadRow = "error", data: str | None = None) -> Opening:
    """Score the test split, save its predictions, and write the opening down in the run's `test.json`.

    `data` is where the run's data lies now, if not where its config says. Returns the opening. Raises DataError where labels are hidden, or where the data is no longer
    what the run was trained on.
    """
    config, tasks = trained.folder.config(), trained.tasks
    if (
        data is None
        and config.data not in ("sample", "hub")
        and not Path(config.data).expanduser().is_dir()
    ):
        raise DataError(
            f"{config.data}: the run's data is not there, seen from here. Say where it is: --data FOLDER."
        )
    data = data or config.data
    seen = fingerprint(load_rows(data, tasks, ("train", "dev"), on_bad_row=on_bad_row))
    if seen != trained.record.data.fingerprint:
        raise DataError(
            f"{data}: the training and dev rows are not those that {trained.folder.run_id} was trained on "
            f"(fingerprint {seen}, recorded {trained.record.data.fingerprint}). Test scores would not belong to them."
        )
    rows: Mapping[tuple[TaskName, Split], Rows] = load_rows(
        data, tasks, ("test",), on_bad_row=on_bad_row
    )
    hidden = [part.task.file_name("test") for part in rows.values() if part.labels is None]
    if hidden:
        raise DataError(
            f"{data}: {', '.join(hidden)}: no labels to score against. Use `mtl predict` for these."
        )
    at, rows_seen = datetime.now(UTC).isoformat(timespec="seconds"), fingerprint(rows)
    opening = Opening(at=at, data=rows_seen, metrics={}, undefined={})
    with trained.folder.lock():
        trained.folder.add_opening(opening)  # counted before anything is seen
        found = {task: trained.predict(rows[task, "test"]) for task in tasks}
        scores = score_all(found, tasks, config.overall, "test")
        opening = Opening(at=at, data=rows_seen, metrics=scores.metrics, undefined=scores.reasons)
        for predictions in found.values():
            trained.folder.save_predictions(predictions)
        trained.folder.complete_opening(opening)
    return opening
