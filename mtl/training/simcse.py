"""The pre-step of unsupervised SimCSE on the run's own sentences.

For B sentences with vectors a_i and b_i of two readings under different dropout, the loss is the
mean of -log softmax_j(scale cos(a_i, b_j))[i]. The vectors are those that heads get.
Source: Gao, Yao, Chen, EMNLP 2021 (arXiv:2104.08821), equation 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.nn import functional as F

from mtl.config.schema import RunConfig
from mtl.config.simcse import SimCSE
from mtl.data.tokens import TokenizedRows
from mtl.inference.evaluate import autocast
from mtl.methods.mnrl import in_batch_softmax
from mtl.model.multitask import MultiTaskModel
from mtl.model.packing import pack
from mtl.model.pairing import Pairer
from mtl.rng import numpy_stream, stream_seed
from mtl.training.interrupt import Interruption
from mtl.training.optim import Optimizer
from mtl.training.state import Diverged


def pre_train(
    config: RunConfig,
    model: MultiTaskModel,
    rows: Sequence[TokenizedRows],
    pairer: Pairer,
    device: torch.device,
    interruption: Interruption,
) -> dict[str, float]:
    """Run the pre-step on the distinct sentences of some rows, which share a table.

    Returns what it did: the number of sentences, and the means over its first and last tenth of
    steps of the loss and of the cosine between the two readings. Raises Interrupted or Diverged.
    """
    settings = config.simcse
    assert settings is not None
    columns = [column for part in rows for column in (part.first, part.second)]
    sentences = np.unique(np.concatenate([column for column in columns if column is not None]))
    table = rows[0].table
    trained = {
        name: parameter
        for name, parameter in model.trainable().items()
        if name.startswith("encoder.")
    }
    optimizer = Optimizer(trained, config.train)
    torch.manual_seed(stream_seed(config.seed, "simcse"))
    losses, cosines = [], []
    for step, chosen in enumerate(batches(len(sentences), settings, config.seed)):
        interruption.check()
        ids, types = pairer.singles([table.sentence(i) for i in sentences[chosen]])
        packed = pack([*ids, *ids], [*types, *types]).to(device)
        optimizer.zero_grad()
        with autocast(device, config.train.precision):
            vectors = model.vectors_of_text(packed, config.train.dropout)
        first, second = vectors.float().chunk(2)
        loss = in_batch_softmax(first, second, settings.scale)
        torch.autograd.backward(loss)
        norm = optimizer.step(settings.lr)
        if not (torch.isfinite(loss) and torch.isfinite(norm)):
            raise Diverged(f"simcse, step {step + 1} of {settings.steps}: the loss is not finite")
        losses.append(float(loss.detach()))
        cosines.append(float(F.cosine_similarity(first.detach(), second.detach()).mean()))
    optimizer.zero_grad()
    torch.manual_seed(stream_seed(config.seed, "dropout"))
    tenth = -(-len(losses) // 10)
    return {
        "sentences": len(sentences),
        "first_loss": float(np.mean(losses[:tenth])),
        "last_loss": float(np.mean(losses[-tenth:])),
        "first_cosine": float(np.mean(cosines[:tenth])),
        "last_cosine": float(np.mean(cosines[-tenth:])),
    }


def batches(count: int, settings: SimCSE, seed: int) -> Iterator[np.ndarray]:
    """The numbers of the sentences of each step; all sentences once before any comes again.

    A rest of one sentence is left out: it has nothing to be compared with.

    >>> sizes = [len(chosen) for chosen in batches(5, SimCSE(steps=4, batch_size=2), 0)]
    >>> sizes
    [2, 2, 2, 2]
    """
    left, turn = settings.steps, 0
    while left:
        order = numpy_stream(seed, f"simcse/{turn}").permutation(count)
        turn += 1
        for start in range(0, count - 1 if count > 1 else count, settings.batch_size):
            if left:
                left -= 1
                yield order[start : start + settings.batch_size]
