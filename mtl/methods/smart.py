"""SMART: outputs that hardly change when the embeddings do, and that stay near those of a teacher.

Each task's loss becomes loss + lambda_s R_s + mu D_Breg.
R_s = mean l_s(f(x~), f(x)): x is the embedding layer's output, and x~ = x + noise, where gradient
ascent on l_s(f(x~), f(x)) finds the noise. D_Breg = mean l_s(f(x; theta), f(x; teacher)): the
teacher is a running average of the weights. l_s is `mtl.model.losses.divergence`.
For a pair of sentences each side ascends with the other side clean, and R_s perturbs both.
Sources: Jiang et al. 2020 (arXiv:1911.03437); for pairs Gorti & Thiesmeyer 2023, section 3.3.

The clean pass is the task's own. Both perturbed sides of all pairs, and every other task of the
batch, share a packed pass: one to find the noise (a forward, and a backward to inputs only), and
one for R_s.
Shapes: T tokens, S sequences, B rows, H width.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from mtl.config.schema import RunConfig
from mtl.config.sections import Smart
from mtl.methods import perturbation
from mtl.methods.penalty import (
    ByTask,
    Measurements,
    Penalty,
    Summary,
    largest,
    register,
    total,
)
from mtl.model.batch import Batch
from mtl.model.losses import divergence
from mtl.model.multitask import MultiTaskModel
from mtl.rng import dropout_state, set_dropout_state
from mtl.tasks.registry import TASKS

FLOOR_EVERY = 10
"""Steps between measurements of R_s at zero noise where masks differ; each costs a forward pass.

Compare a floor with R_s of the same step: both have the same masks.
"""


@dataclass(frozen=True, kw_only=True)
class Clean:
    """The clean pass: embeddings (T, H), vectors (S, H) and outputs.

    `before_layers` and `before_heads` are dropout's random states there, to draw the same masks.
    """

    embedded: Tensor
    vectors: Tensor
    outputs: ByTask
    before_layers: Tensor
    before_heads: Tensor


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Noise on the embeddings, (T, H), without a graph.

    `skipped` is (S,) bool: the sequences of examples without noise, whose gradient was not finite.
    """

    values: Tensor
    skipped: Tensor


@register("smart")
class SmartPenalty(Penalty):
    """Both terms, with their weights. A term whose weight is 0 is not computed."""

    def __init__(
        self, model: MultiTaskModel, settings: Smart, *, probability: float, seed: int
    ) -> None:
        """`probability` is training's dropout. The teacher starts as a copy of the model.

        Frozen tensors are shared with the teacher, not copied.
        """
        self.model, self.settings, self.probability, self.seed = model, settings, probability, seed
        self.teacher: MultiTaskModel | None = None
        if settings.mu:
            shared = {id(value): value for value in model.parameters() if not value.requires_grad}
            self.teacher = copy.deepcopy(model, shared).requires_grad_(False)
        self.measured = Measurements(largest=largest, skipped=total)

    @classmethod
    def from_config(cls, config: RunConfig, model: MultiTaskModel) -> Self:
        assert config.smart is not None
        return cls(model, config.smart, probability=config.train.dropout, seed=config.seed)

    def forward(self, batch: Batch, step: int) -> tuple[Sequence[ByTask], ByTask]:
        clean = self.clean_pass(batch)
        terms: list[tuple[str, float, ByTask]] = []
        if self.settings.lambda_s:
            terms.append(("r_s", self.settings.lambda_s, self.smoothness_term(batch, clean, step)))
        if self.settings.mu:
            terms.append(("d_breg", self.settings.mu, self.teacher_distance(batch, clean)))
        penalties: ByTask = {}
        for name, weight, values in terms:
            found = {task: value.detach() for task, value in values.items()}
            self.measured.note(step, name, found, batch)
            for task, value in values.items():
                term = weight * value
                penalties[task] = penalties[task] + term if task in penalties else term
        return [clean.outputs], penalties

    def clean_pass(self, batch: Batch) -> Clean:
        """The model's own pass, as plain training does it."""
        embedded = self.model.embed(batch, self.probability)
        before_layers = dropout_state(embedded.device)
        vectors = self.model.vectors(batch, embedded, self.probability)
        before_heads = dropout_state(embedded.device)
        return Clean(
            embedded=embedded,
            vectors=vectors,
            outputs=self.model.outputs(batch, vectors, self.probability),
            before_layers=before_layers,
            before_heads=before_heads,
        )

    # R_s

    def smoothness_term(self, batch: Batch, clean: Clean, step: int) -> ByTask:
        """R_s by task, under noise found for this batch.

        With shared masks the random state ends where the clean pass left it, since the heads are
        replayed last. Training then draws as it does without SMART.
        """
        noise = self.find_noise(batch, clean, step)
        state = dropout_state(clean.embedded.device)
        smoothness = self.smoothness(batch, clean, noise.values)
        self.measure_noise(batch, clean, noise, step)
        if not self.settings.dropout:
            zeros = {task: value.new_zeros(()) for task, value in smoothness.items()}
            self.measured.note(step, "floor", zeros, batch)
        elif step % FLOOR_EVERY == 0:
            self.measured.note(step, "floor", self.floor(batch, clean, state), batch)
        return smoothness

    def find_noise(self, batch: Batch, clean: Clean, step: int) -> Noise:
        """Gradient ascent on l_s from a random start.

        A move is `eta` times the gradient, scaled to an infinity norm of 1 a sequence; then the
        noise is projected. Examples whose gradient is not finite are skipped: their noise is 0.
        """
        settings, packed = self.settings, batch.packed
        embedded, owner = clean.embedded.detach(), perturbation.owners(packed)
        values = perturbation.start(batch, embedded, settings.sigma, self.seed, step)
        skipped = torch.zeros(packed.sequences, dtype=torch.bool, device=embedded.device)
        for _ in range(settings.steps):
            gradient = self.ascent_gradient(batch, clean, embedded + values)
            skipped = skipped | perturbation.not_finite(gradient, batch, owner)
            moved = values + settings.eta * perturbation.unit(gradient, owner, packed.sequences)
            values = perturbation.project(moved, owner, packed.sequences, settings).masked_fill(
                skipped[owner][:, None], 0.0
            )
        if not settings.steps:
            values = perturbation.project(values, owner, packed.sequences, settings)
        return Noise(values=values, skipped=skipped)

    def ascent_gradient(self, batch: Batch, clean: Clean, noisy: Tensor) -> Tensor:
        """d l_s / d `noisy`, (T, H), summed over rows, with the clean side fixed.

        For a pair, the head sees one side's perturbed vector with the other's clean one, and the
        other way round: two calls of the head after one pass. No parameter gets a gradient.
        """
        noisy = noisy.requires_grad_()
        vectors = self.replay_layers(batch, clean, noisy)
        clean_vectors = clean.vectors.detach()
        objective = noisy.new_zeros(())
        for side in range(max(part.vectors for part in batch.parts)):
            perturbed = [
                torch.arange(part.sequences, device=noisy.device) // part.rows == side
                for part in batch.parts
            ]
            mixed = torch.where(torch.cat(perturbed)[:, None], vectors, clean_vectors)
            outputs = self.replay_heads(batch, clean, mixed)
            for part in batch.parts:
                if side < part.vectors:
                    fixed = clean.outputs[part.task].detach()
                    apart = divergence(TASKS[part.task].kind, outputs[part.task], fixed)
                    objective = objective + apart.sum()
        with torch.autocast(noisy.device.type, enabled=False):
            (gradient,) = torch.autograd.grad(objective, noisy)
        return gradient

    def smoothness(self, batch: Batch, clean: Clean, noise: Tensor) -> ByTask:
        """R_s by task: mean l_s(f(x + noise), f(x)) over rows, with gradient through both sides."""
        vectors = self.replay_layers(batch, clean, clean.embedded + noise)
        return mean_divergence(batch, self.replay_heads(batch, clean, vectors), clean.outputs)

    @torch.no_grad()
    def floor(self, batch: Batch, clean: Clean, state: Tensor) -> ByTask:
        """R_s at zero noise, with masks drawn from `state`; restores the random state."""
        after = dropout_state(clean.embedded.device)
        set_dropout_state(clean.embedded.device, state)
        floor = self.smoothness(batch, clean, torch.zeros_like(clean.embedded))
        set_dropout_state(clean.embedded.device, after)
        return floor

    def replay_layers(self, batch: Batch, clean: Clean, embedded: Tensor) -> Tensor:
        """The encoder on `embedded`, with the clean pass's masks or, with `dropout`, fresh ones."""
        if not self.settings.dropout:
            set_dropout_state(embedded.device, clean.before_layers)
        return self.model.vectors(batch, embedded, self.probability)

    def replay_heads(self, batch: Batch, clean: Clean, vectors: Tensor) -> ByTask:
        """The heads on `vectors`, with masks in the same way."""
        if not self.settings.dropout:
            set_dropout_state(vectors.device, clean.before_heads)
        return self.model.outputs(batch, vectors, self.probability)

    # D_Breg

    def begin(self) -> None:
        if self.teacher is not None:
            self.teacher.load_state_dict(self.model.state_dict())

    def teacher_distance(self, batch: Batch, clean: Clean) -> ByTask:
        """D_Breg by task: mean l_s(f(x), teacher(x)) over rows.

        The teacher has no dropout and gets no gradient.
        """
        assert self.teacher is not None
        with torch.no_grad():
            teacher_outputs = self.teacher(batch)
        return mean_divergence(batch, clean.outputs, teacher_outputs)

    @torch.no_grad()
    def after_step(self, step: int, total: int) -> None:
        """teacher <- beta teacher + (1 - beta) model; the run's first tenth has its own beta."""
        if self.teacher is None:
            return
        beta = self.settings.beta[0 if 10 * step < total else 1]
        for old, new in zip(self.teacher.parameters(), self.model.parameters(), strict=True):
            if new.requires_grad:
                old.lerp_(new, 1 - beta)

    def tensors(self) -> dict[str, Tensor]:
        if self.teacher is None:
            return {}
        trained = self.model.trainable().keys()
        return {
            f"teacher.{name}": value
            for name, value in self.teacher.named_parameters()
            if name in trained
        }

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        for name, value in self.tensors().items():
            value.copy_(tensors[name])

    # diagnostics

    def measure_noise(self, batch: Batch, clean: Clean, noise: Noise, step: int) -> None:
        """Note the noise's size by task, and how many examples were skipped.

        `ratio` is the Euclidean norm over that of the embeddings; `largest` is the largest element.
        """
        tokens = [part.tokens for part in batch.parts]
        by_task = zip(
            batch.parts,
            torch.split(noise.values, tokens),
            torch.split(clean.embedded.detach(), tokens),
            torch.split(noise.skipped, [part.sequences for part in batch.parts]),
            strict=True,
        )
        for part, values, embedded, skipped in by_task:
            found = {
                "ratio": values.norm() / embedded.norm(),
                "largest": values.abs().amax(),
                "skipped": skipped[: part.rows].sum(),
            }
            for quantity, value in found.items():
                self.measured.note(step, quantity, {part.task: value}, batch)

    def report(self, step: int, summaries: dict[str, Summary]) -> dict[str, Any]:
        return {"smart": self.measured.report(step, summaries.setdefault("smart", {}))}


def mean_divergence(batch: Batch, outputs: ByTask, reference: ByTask) -> ByTask:
    """l_s between two sets of outputs, by task; the mean over rows."""
    return {
        part.task: divergence(
            TASKS[part.task].kind, outputs[part.task], reference[part.task]
        ).mean()
        for part in batch.parts
    }
