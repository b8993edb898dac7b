"""The part of a record that says what a run's methods acted on."""

from __future__ import annotations

from mtl.runs.stored import Count, Stored
from mtl.runs.weights import WeightDiagnostics


class SurgeryDiagnostics(Stored):
    """What surgery did (`mtl.methods.conflicts.summarise`). Shares are between 0 and 1."""

    steps: Count | None = None
    multi_task: float | None = None
    """Share of steps with at least two tasks."""
    conflict: float | None = None
    """Share of steps with a negative cosine between two gradients."""
    projected: float | None = None
    """Share of steps in which a gradient was projected."""
    cosine: dict[str, float | None] = {}
    """Mean cosine of each pair of tasks: `sst/quora`."""
    conflict_of_pair: dict[str, float | None] = {}
    """Share of a pair's steps with a negative cosine."""
    dominant: dict[str, Count] = {}
    """Multi-task steps by the task with the largest gradient."""
    norm: dict[str, float | None] = {}
    """Mean gradient norm of each task."""
    removed_share: float | None = None
    """Mean norm that surgery removed, as a share of the sum of the tasks' norms."""


class SmartDiagnostics(Stored):
    """What SMART did on one task. All but `skipped` are means over steps."""

    d_breg: float | None = None
    """Distance to the averaged teacher."""
    floor: float | None = None
    """`r_s` without noise: what differing dropout masks alone cause."""
    largest: float | None = None
    """The noise's largest element."""
    r_s: float | None = None
    """Change of the output under the noise."""
    ratio: float | None = None
    """Norm of the noise, as a share of the embeddings' norm."""
    skipped: Count | None = None
    """Examples without noise, because their inner gradient was not finite."""


class RdropDiagnostics(Stored):
    """What R-Drop did on one task: means over steps, without alpha."""

    distance: float | None = None
    """Distance between the outputs of the two passes (`mtl.methods.rdrop`)."""
    loss: float | None = None
    """Mean plain loss of the two passes, without the penalty."""


class ThawDiagnostics(Stored):
    """How much of the encoder trained in each epoch that began (`mtl.model.freezing`)."""

    layers: list[Count] = []
    """How many layers trained in each epoch."""
    embeddings: Count | None = None
    """The first epoch, from 1, in which the embeddings trained. None where they did in none."""


class Diagnostics(Stored):
    """What the methods of a run acted on. Sizes are in bytes."""

    tasks_per_step: dict[str, Count] = {}
    """Steps by their number of tasks."""
    dead_examples_per_epoch: dict[str, list[Count]] = {}
    """Examples without a gradient, by task."""
    smart: dict[str, SmartDiagnostics] | None = None
    """By task. None without SMART."""
    rdrop: dict[str, RdropDiagnostics] | None = None
    """By task. None without R-Drop."""
    simcse: dict[str, float] | None = None
    """What the pre-step did (`mtl.training.simcse.pre_train`). None without it."""
    losses: dict[str, dict[str, float]] | None = None
    """What losses other than the tasks' own acted on, by task; means over steps. Each loss of
    `mtl.methods` says what it measures. None where all tasks have their own."""
    gradient_norms: dict[str, float] = {}
    """Mean norm before clipping, by task, over the steps with this task alone."""
    surgery: SurgeryDiagnostics | None = None
    """None without surgery."""
    average_distance: float | None = None
    """How far the averaged weights are from the last ones, relative to these. None without them."""
    lora: dict[str, int | float | None] | None = None
    """The adapters' size and effect (`mtl.model.lora.describe_adapters`). None without any."""
    thaw: ThawDiagnostics | None = None
    """None where no layer was to thaw."""
    task_weights: WeightDiagnostics | None = None
    """None where no loss has a weight."""
    trained_bytes: Count | None = None
    frozen_bytes: Count | None = None
    tokens: Count | None = None
    examples: Count | None = None
    passes: Count | None = None
    """Passes of training, each a forward and a backward: micro-batches, and with surgery a task's
    own. Perturbed and second passes do not count. None by an earlier version."""
