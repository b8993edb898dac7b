"""SMART: outputs that hardly change when the embeddings do, and that stay near an averaged teacher's.

For each task: loss + lambda_s R_s + mu D_Breg.
R_s = mean l_s(f(x~), f(x)), where x is the embedding layer's output and x~ = x + noise that gradient ascent on
l_s(f(x~), f(x)) has found near it. D_Breg = mean l_s(f(x; theta), f(x; teacher)), the teacher being a running average
of the weights. l_s is `mtl.model.losses.divergence`. Source: Jiang et al. 2020 (arXiv:1911.03437); for pairs Gorti &
Thiesmeyer 2023, section 3.3: each side ascends with the other side clean, and R_s perturbs both.

The clean pass is the task's own. Both perturbed sides of all pairs, and every other task of the batch, go through the
encoder in one packed pass: one to find the noise (a forward, and a backward to inputs only), one for R_s.
Shapes: T tokens, S sequences, B rows, H width.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mtl.config.schema import RunConfig
from mtl.config.sections import Smart
from mtl.methods import perturbation
from mtl.methods.penalty import ByTask, Measurements, NoPenalty, Penalty, Summary
from mtl.model.losses import divergence
from mtl.model.multitask import Batch, MultiTaskModel
from mtl.rng import dropout_state, set_dropout_state
from mtl.tasks.registry import TASKS

FLOOR_EVERY = 10
"""Steps between measurements of R_s at zero perturbation, where masks differ; each costs a forward pass.

Compare them with R_s of the same steps: both are under the same masks.
"""


@dataclass(frozen=True, kw_only=True)
class Clean:
    """The clean pass: embeddings (T, H), vectors (S, H), outputs, and the random states before layers and before heads."""

    embedded: Tensor
    vectors: Tensor
    outputs: ByTask
    before_layers: Tensor
    before_heads: Tensor


@dataclass(frozen=True, kw_only=True)
class Noise:
    """What is added to the embeddings, (T, H), without a graph; and (S,) bool, the sequences whose example was skipped."""

    values: Tensor
    skipped: Tensor


class SmartPenalty(Penalty):
    """Both terms, with their weights. A term whose weight is 0 is not computed."""

    def __init__(
        self, model: MultiTaskModel, settings: Smart, *, probability: float, seed: int
    ) -> None:
        """`probability` is training's dropout. The teacher starts as a copy of the model; frozen tensors are shared."""
        self.model, self.settings, self.probability, self.seed = model, settings, probability, seed
        self.teacher: MultiTaskModel | None = None
        if settings.mu:
            shared = {id(value): value for value in model.parameters() if not value.requires_grad}
            self.teacher = copy.deepcopy(model, shared).requires_grad_(False)
        self.measured = Measurements()

    def forward(self, batch: Batch, step: int) -> tuple[ByTask, ByTask]:
        clean = self.clean(batch)
        terms: list[tuple[str, float, ByTask]] = []
        if self.settings.lambda_s:
            terms.append(("r_s", self.settings.lambda_s, self.smoothed(batch, clean, step)))
        if self.settings.mu:
            terms.append(("d_breg", self.settings.mu, self.distance(batch, clean)))
        penalties: ByTask = {}
        for name, weight, values in terms:
            self.measured.note(step, name, {task: value.detach() for task, value in values.items()})
            for task, value in values.items():
                penalties[task] = (
                    penalties[task] + weight * value if task in penalties else weight * value
                )
        return clean.outputs, penalties

    def smoothed(self, batch: Batch, clean: Clean, step: int) -> ByTask:
        """R_s by task, under noise found for it.

        With shared masks training goes on drawing as if this had not been: the last thing is the heads' replay, which
        ends where the clean pass ended.
        """
        noise = self.noise(batch, clean, step)
        state = dropout_state(clean.embedded.device)
        found = self.smoothness(batch, clean, noise.values)
        self.look_at_noise(batch, clean, noise, step)
        if not self.settings.dropout:
            self.measured.note(
                step, "floor", {task: value.new_zeros(()) for task, value in found.items()}
            )
        elif step % FLOOR_EVERY == 0:
            self.measured.note(step, "floor", self.floor(batch, clean, state))
        return found

    def clean(self, batch: Batch) -> Clean:
        """The task's own pass, as plain training does it."""
        embedded = self.model.embed(batch, self.probability)
        before_layers = dropout_state(embedded.device)
        vectors = self.model.vectors(batch, embedded, self.probability)
        before_heads = dropout_state(embedded.device)
        outputs = self.model.outputs(batch, vectors, self.probability)
        return Clean(
            embedded=embedded,
            vectors=vectors,
            outputs=outputs,
            before_layers=before_layers,
            before_heads=before_heads,
        )

    def noise(self, batch: Batch, clean: Clean, step: int) -> Noise:
        """Gradient ascent on l_s from a random start. Examples whose gradient is not finite are skipped: noise 0.

        Each move is `eta` along the gradient scaled to unit infinity norm, a sequence at a time; then the projection.
        """
        settings, packed = self.settings, batch.packed
        embedded, owner = clean.embedded.detach(), perturbation.owners(packed)
        values = perturbation.start(batch, embedded, settings.sigma, self.seed, step)
        skipped = torch.zeros(packed.sequences, dtype=torch.bool, device=embedded.device)
        for _ in range(settings.steps):
            gradient = self.ascent(batch, clean, embedded + values)
            skipped = skipped | perturbation.broken(gradient, batch, owner)
            moved = values + settings.eta * perturbation.unit(gradient, owner, packed.sequences)
            values = perturbation.project(moved, owner, packed.sequences, settings).masked_fill(
                skipped[owner][:, None], 0.0
            )
        if not settings.steps:
            values = perturbation.project(values, owner, packed.sequences, settings)
        return Noise(values=values, skipped=skipped)

    def ascent(self, batch: Batch, clean: Clean, noisy: Tensor) -> Tensor:
        """d l_s / d `noisy`, (T, H), summed over rows, the clean side without a graph. No parameter gets a gradient.

        For a pair, one side's vector is the perturbed one and the other's the clean one, and the other way round: two
        calls of the head, one pass through the encoder.
        """
        noisy = noisy.requires_grad_()
        vectors = self.replayed_vectors(batch, clean, noisy, through_frozen=True)
        rest = clean.vectors.detach()
        objective = noisy.new_zeros(())
        for side in range(max(part.vectors for part in batch.parts)):
            perturbed = [
                torch.arange(part.sequences, device=noisy.device) // part.rows == side
                for part in batch.parts
            ]
            outputs = self.replayed_heads(
                batch, clean, torch.where(torch.cat(perturbed)[:, None], vectors, rest)
            )
            for part in batch.parts:
                if side < part.vectors:
                    fixed = clean.outputs[part.task].detach()
                    objective = (
                        objective
                        + divergence(TASKS[part.task].kind, outputs[part.task], fixed).sum()
                    )
        with torch.autocast(noisy.device.type, enabled=False):
            (gradient,) = torch.autograd.grad(objective, noisy)
        return gradient

    def smoothness(self, batch: Batch, clean: Clean, noise: Tensor) -> ByTask:
        """R_s by task: the mean over rows of l_s(f(x + noise), f(x)), with gradient through both sides."""
        vectors = self.replayed_vectors(batch, clean, clean.embedded + noise)
        return mean_divergence(batch, self.replayed_heads(batch, clean, vectors), clean.outputs)

    @torch.no_grad()
    def floor(self, batch: Batch, clean: Clean, state: Tensor) -> ByTask:
        """R_s at zero perturbation under the masks drawn from `state`; the random state ends where R_s left it."""
        after = dropout_state(clean.embedded.device)
        set_dropout_state(clean.embedded.device, state)
        found = self.smoothness(batch, clean, torch.zeros_like(clean.embedded))
        set_dropout_state(clean.embedded.device, after)
        return found

    def distance(self, batch: Batch, clean: Clean) -> ByTask:
        """D_Breg by task: the mean over rows of l_s(f(x), teacher(x)); the teacher has no dropout and no gradient."""
        assert self.teacher is not None
        with torch.no_grad():
            taught = self.teacher(batch)
        return mean_divergence(batch, clean.outputs, taught)

    @torch.no_grad()
    def stepped(self, step: int, total: int) -> None:
        """teacher <- beta teacher + (1 - beta) model, once an optimiser step."""
        if self.teacher is None:
            return
        beta = self.settings.beta[0 if 10 * step < total else 1]
        for old, new in zip(self.teacher.parameters(), self.model.parameters(), strict=True):
            if new.requires_grad:
                old.lerp_(new, 1 - beta)

    def tensors(self) -> dict[str, Tensor]:
        if self.teacher is None:
            return {}
        own = self.model.trainable().keys()
        return {
            f"teacher.{name}": value
            for name, value in self.teacher.named_parameters()
            if name in own
        }

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        for name, value in self.tensors().items():
            value.copy_(tensors[name])

    # --- the same masks again, or fresh ones

    def replayed_vectors(
        self, batch: Batch, clean: Clean, embedded: Tensor, *, through_frozen: bool = False
    ) -> Tensor:
        """The encoder on `embedded`; with the clean pass's masks unless the settings want others."""
        if not self.settings.dropout:
            set_dropout_state(embedded.device, clean.before_layers)
        return self.model.vectors(batch, embedded, self.probability, through_frozen=through_frozen)

    def replayed_heads(self, batch: Batch, clean: Clean, vectors: Tensor) -> ByTask:
        """The heads on `vectors`, in the same way."""
        if not self.settings.dropout:
            set_dropout_state(vectors.device, clean.before_heads)
        return self.model.outputs(batch, vectors, self.probability)

    # --- what a reader of the record wants to know

    def look_at_noise(self, batch: Batch, clean: Clean, noise: Noise, step: int) -> None:
        """Note how large the noise is (Euclidean norm over the embeddings', largest element), and how many were skipped."""
        tokens, sequences = (
            [getattr(part, name) for part in batch.parts] for name in ("tokens", "sequences")
        )
        pieces = (torch.split(values, tokens) for values in (noise.values, clean.embedded.detach()))
        rows = zip(batch.parts, *pieces, torch.split(noise.skipped, sequences), strict=True)
        for part, values, size, skipped in rows:
            self.measured.note(step, "ratio", {part.task: values.norm() / size.norm()})
            self.measured.note(step, "largest", {part.task: values.abs().amax()})
            self.measured.note(step, "skipped", {part.task: skipped[: part.rows].sum()})

    def report(self, step: int, summary: Summary) -> dict[str, Any]:
        return {"smart": self.measured.report(step, summary)}


def mean_divergence(batch: Batch, one: ByTask, other: ByTask) -> ByTask:
    """l_s between two sets of outputs, the mean over rows, by task."""
    return {
        part.task: divergence(TASKS[part.task].kind, one[part.task], other[part.task]).mean()
        for part in batch.parts
    }


def make_penalty(model: MultiTaskModel, config: RunConfig) -> Penalty:
    """What the config asks for."""
    if config.smart is None:
        return NoPenalty(model, config.train.dropout)
    return SmartPenalty(model, config.smart, probability=config.train.dropout, seed=config.seed)
