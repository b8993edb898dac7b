"""The learning rate of each parameter, as a multiple of the step's rate."""

from __future__ import annotations

from mtl.config.sections import Train
from mtl.model.multitask import MultiTaskModel


def rate_factors(model: MultiTaskModel, settings: Train) -> dict[str, float]:
    """Each trained parameter's multiple of the learning rate, by name.

    Heads have `head_lr / lr`. With a `layer_decay` of d, layer l of N (from 1) has d^(N - l), the
    embeddings d^N, and the pooler 1. The exponents count all layers, frozen ones too. A bias of
    positions that all layers share goes with the first one.
    Source: Clark et al., ELECTRA, ICLR 2020 (arXiv:2003.10555), appendix A.
    """
    head = 1.0 if settings.head_lr is None else settings.head_lr / settings.lr
    depth = _depths(model) if settings.layer_decay != 1 else {}
    layers = model.encoder.config.layers
    return {
        name: head if name.startswith("heads.")
        else settings.layer_decay ** (layers - depth.get(name, layers))
        for name in model.trainable()
    }  # fmt: skip


def _depths(model: MultiTaskModel) -> dict[str, int]:
    """The layer of each of the encoder's parameters by name, 0 for the embeddings."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    depths: dict[str, int] = {}
    for layer in range(model.encoder.config.layers + 1):
        for parameter in model.encoder.lower_parameters(layer):
            depths.setdefault(names[parameter], layer)
    return depths
