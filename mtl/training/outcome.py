"""A run's record, with its diagnostics, and the description that Weights & Biases gets."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import torch

from mtl.config.schema import RunConfig
from mtl.documents.keys import flatten
from mtl.methods import conflicts
from mtl.methods.penalty import PENALTIES, summarise
from mtl.methods.weighing import Weighing
from mtl.model.fallback.pretrained import FallbackPretrained
from mtl.model.lora import describe_adapters
from mtl.model.multitask import MultiTaskModel
from mtl.model.pretrained import Pretrained
from mtl.runs.definitions import definitions_of
from mtl.runs.diagnostics import Diagnostics
from mtl.runs.environment import environment, peak_memory
from mtl.runs.folder import RunFolder
from mtl.runs.prepare import Prepared, draws_pooler
from mtl.runs.record import SCHEMA, EncoderPart, Metrics, Record, Status, Throughput
from mtl.tasks.metrics import score_all
from mtl.tracking.tracker import RunInfo
from mtl.training.state import State

if TYPE_CHECKING:
    from mtl.training.run import Training


def make_record(training: Training, status: Status, error: str | None) -> Record:
    """The record of a run that has ended, in whatever way; unknown is None.

    The caller adds `wandb`, which is known once the tracker is closed.
    """
    prepared, state = training.prepared, training.state
    unchanged = frozen_unchanged(training.model, prepared.pretrained, prepared.config.seed)
    if unchanged is False and status == "done":
        status, error = (
            "failed",
            "frozen weights changed during training: a defect of mtl, please report it",
        )
    speed = state.step_seconds or None
    return Record(
        schema_version=SCHEMA,
        run_id=prepared.run_id,
        cell=prepared.cell,
        seed=prepared.config.seed,
        status=status,
        config=prepared.config.model_dump(mode="json"),
        tasks=definitions_of(prepared.config.tasks),
        metrics=state.selected,
        undefined=state.reasons,
        cross_fitted=cross_fitted(prepared, state, training.folder) if status == "done" else None,
        cross_fitted_steps=state.half_steps or None,
        last=state.last or None,
        best_step=state.best_step,
        steps=state.step,
        seconds=round(state.seconds, 3),
        throughput=Throughput(
            examples_per_second=round(state.examples / speed, 3) if speed else None,
            tokens_per_second=round(state.tokens / speed, 3) if speed else None,
        ),
        peak_memory=peak_memory(training.device),
        diagnostics=diagnostics(training),
        frozen_unchanged=unchanged,
        data=prepared.data,
        environment=environment(training.device),
        encoder=encoder_part(prepared),
        error=error,
        ended=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def cross_fitted(prepared: Prepared, state: State, folder: RunFolder) -> Metrics | None:
    """The dev scores of the cross-fitted predictions, where a run has kept them."""
    if not state.half_steps:
        return None
    config = prepared.config
    kept = {task: folder.cross_fitted(task) for task in config.tasks}
    return score_all(kept, config.tasks, config.overall, "dev").metrics


def tracked_metrics(record: Record) -> Metrics:
    """The scores of a run for W&B: those of the selected checkpoint, and the cross-fitted ones."""
    judged = record.cross_fitted or {}
    return record.metrics | {f"cross-fitted/{key}": value for key, value in judged.items()}


def diagnostics(training: Training) -> Diagnostics:
    """What the methods of a run acted on."""
    state, model = training.state, training.model
    frozen = [parameter for parameter in model.parameters() if not parameter.requires_grad]
    epochs = math.ceil(state.step / training.plan.epoch_steps)
    return Diagnostics.model_validate(
        {
            "tasks_per_step": state.tasks_per_step,
            "dead_examples_per_epoch": state.dead_examples,
            **{key: summarise(state.penalties.get(key, {})) for key in PENALTIES},
            "simcse": state.simcse or None,
            "losses": summarise(state.losses),
            "gradient_norms": {
                task: total / count for task, (count, total) in state.gradient_norms.items()
            },
            "surgery": conflicts.summarise(state.surgery) if state.surgery else None,
            "average_distance": training.average.distance(),
            "lora": describe_adapters(model.encoder),
            "thaw": model.freezing.describe(model.encoder.config.layers, epochs),
            "task_weights": weight_diagnostics(state, training.weighing),
            "trained_bytes": sum(parameter.nbytes for parameter in model.trainable().values()),
            "frozen_bytes": sum(parameter.nbytes for parameter in frozen),
            "tokens": state.tokens,
            "examples": state.examples,
            "passes": state.passes,
        }
    )


def weight_diagnostics(state: State, weighing: Weighing) -> dict[str, Any] | None:
    """What the weights of the losses were, and where they could not act.

    See `mtl.runs.weights`.
    """
    summary = weighing.summary()
    steps = sum(state.tasks_per_step.values())
    if summary is None or not steps:
        return summary
    clipped = {
        task: state.clipped_alone.get(task, 0) / count
        for task, (count, _) in state.gradient_norms.items()
    }
    one_task = state.tasks_per_step.get("1", 0) / steps
    return summary | {"one_task": one_task, "clipped": clipped}


def encoder_part(prepared: Prepared) -> EncoderPart:
    """How the encoder was computed, for the record."""
    drawn = ["pooler"] if draws_pooler(prepared.config, prepared.pretrained) else []
    used = prepared.pretrained
    version = used.version if isinstance(used, FallbackPretrained) else None
    return EncoderPart(path=used.path, family=used.family.name, drawn=drawn, transformers=version)


def frozen_unchanged(model: MultiTaskModel, pretrained: Pretrained, seed: int) -> bool | None:
    """Whether every tensor that is frozen to the end has the bytes that it was loaded with.

    None where there is none.
    """
    frozen = {
        name: value for name, value in model.encoder.named_parameters() if not value.requires_grad
    }
    if not frozen:
        return None
    loaded = dict(pretrained.load(seed).named_parameters())
    return all(
        torch.equal(_bytes(value.cpu()), _bytes(loaded[name])) for name, value in frozen.items()
    )


def run_info(prepared: Prepared, folder: RunFolder, group: str | None) -> RunInfo:
    """The run's description for W&B; its tags are the settings that differ from the defaults."""
    defaults, settings = flatten(RunConfig().canonical()), flatten(prepared.config.canonical())
    changed = {
        key: value
        for key, value in settings.items()
        if defaults.get(key) != value and key not in ("data", "encoder")
    }
    return RunInfo(
        run_id=prepared.run_id,
        config=prepared.config.model_dump(mode="json"),
        folder=folder.path,
        group=group,
        job_type="train",
        tags=tuple(f"{key}={value}" for key, value in changed.items()),
        name=None,
    )


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().contiguous().view(torch.uint8)
