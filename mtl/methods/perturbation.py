"""The noise of SMART: its random start, its direction, and the ball it stays in.

Noise lies on the embedding layer's output of a packed batch, (T, H), where there is no padding to perturb. Norms are
infinity norms and are taken a sequence at a time: a sequence's tokens share one scale, so that which of them matter
more stays visible, and no sequence's noise depends on what else is in the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mtl.config.sections import Smart
from mtl.model.multitask import Batch
from mtl.model.packing import Packed
from mtl.rng import torch_stream


def start(batch: Batch, like: Tensor, sigma: float, seed: int, step: int) -> Tensor:
    """sigma N(0, I), (T, H). A task's noise at a step is the same whichever tasks it shares the batch with."""
    width = like.shape[1]
    drawn = [
        torch.randn(
            part.tokens,
            width,
            generator=torch_stream(seed, f"smart/{step}/{part.task}"),
            dtype=like.dtype,
        )
        for part in batch.parts
    ]
    return sigma * torch.cat(drawn).to(like.device)


def owners(packed: Packed) -> Tensor:
    """The sequence that each token belongs to, (T,)."""
    sequences = torch.arange(packed.sequences, device=packed.ids.device)
    return torch.repeat_interleave(sequences, packed.lengths, output_size=packed.tokens)


def largest(values: Tensor, owner: Tensor, sequences: int) -> Tensor:
    """The infinity norm of each sequence's part of `values` (T, H), given back to its tokens: (T, 1)."""
    token = values.abs().amax(1)
    found = token.new_zeros(sequences).scatter_reduce_(0, owner, token, "amax")
    return found[owner][:, None]


def unit(values: Tensor, owner: Tensor, sequences: int) -> Tensor:
    """Each sequence's part scaled to an infinity norm of 1; a part that is 0 stays 0."""
    size = largest(values, owner, sequences)
    return values / torch.where(size > 0, size, 1.0)


def project(noise: Tensor, owner: Tensor, sequences: int, settings: Smart) -> Tensor:
    """`clip`: into the ball |noise| <= epsilon, element by element. `normalise`: to an infinity norm of 1."""
    if settings.projection == "clip":
        return noise.clamp(-settings.epsilon, settings.epsilon)
    return unit(noise, owner, sequences)


def broken(gradient: Tensor, batch: Batch, owner: Tensor) -> Tensor:
    """Sequences (S,) of examples whose gradient is not finite; both sides of a pair where one of them is."""
    sequences = batch.packed.sequences
    bad = (~gradient.isfinite()).any(1).float()
    by_sequence = bad.new_zeros(sequences).scatter_reduce_(0, owner, bad, "amax") > 0
    parts = torch.split(by_sequence, [part.sequences for part in batch.parts])
    whole = [
        one.view(part.vectors, part.rows).any(0).repeat(part.vectors)
        for part, one in zip(batch.parts, parts, strict=True)
    ]
    return torch.cat(whole)
