"""The noise of SMART: its random start, its direction, and its bounds.

Noise is added to the embedding layer's output of a packed batch, (T, H), which has no padding.
Norms are infinity norms over a sequence: its tokens share one scale, so differences between tokens
stay, and no sequence's noise depends on the rest of the batch.
Shapes: T tokens of S sequences, H width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mtl.config.sections import Smart
from mtl.model.batch import Batch
from mtl.model.packing import Packed
from mtl.rng import torch_stream


def start(batch: Batch, like: Tensor, sigma: float, seed: int, step: int) -> Tensor:
    """sigma N(0, I), (T, H). A task's draw at a step does not depend on the batch's other tasks.

    Each micro-batch of a step has a draw of its own.
    """
    width = like.shape[1]
    parts = [
        torch.randn(
            part.tokens,
            width,
            generator=torch_stream(seed, f"smart/{step}/{part.draw}"),
            dtype=like.dtype,
        )
        for part in batch.parts
    ]
    return sigma * torch.cat(parts).to(like.device)


def owners(packed: Packed) -> Tensor:
    """The number of each token's sequence, (T,)."""
    sequences = torch.arange(packed.sequences, device=packed.ids.device)
    return torch.repeat_interleave(sequences, packed.lengths, output_size=packed.tokens)


def largest(values: Tensor, owner: Tensor, sequences: int) -> Tensor:
    """The infinity norm of each sequence's part of `values` (T, H), for each token: (T, 1)."""
    token_norms = values.abs().amax(1)
    norms = token_norms.new_zeros(sequences).scatter_reduce_(0, owner, token_norms, "amax")
    return norms[owner][:, None]


def unit(values: Tensor, owner: Tensor, sequences: int) -> Tensor:
    """Each sequence's part of `values` scaled to an infinity norm of 1; a part of zeros stays."""
    norm = largest(values, owner, sequences)
    return values / torch.where(norm > 0, norm, 1.0)


def project(noise: Tensor, owner: Tensor, sequences: int, settings: Smart) -> Tensor:
    """`clip`: each element to at most epsilon. `normalise`: each sequence to a norm of 1."""
    if settings.projection == "clip":
        return noise.clamp(-settings.epsilon, settings.epsilon)
    return unit(noise, owner, sequences)


def not_finite(gradient: Tensor, batch: Batch, owner: Tensor) -> Tensor:
    """(S,) bool: the sequences of examples whose gradient is not finite.

    Both sequences of a pair are marked where either is not finite.
    """
    sequences = batch.packed.sequences
    bad_tokens = (~gradient.isfinite()).any(1).float()
    bad = bad_tokens.new_zeros(sequences).scatter_reduce_(0, owner, bad_tokens, "amax") > 0
    by_part = torch.split(bad, [part.sequences for part in batch.parts])
    examples = [
        bad_part.view(part.vectors, part.rows).any(0).repeat(part.vectors)
        for part, bad_part in zip(batch.parts, by_part, strict=True)
    ]
    return torch.cat(examples)
