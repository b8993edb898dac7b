"""Whom to cite for the methods that say which of the encoder's weights train, and how far."""

from __future__ import annotations

from mtl.methods.toggle import Source

THAWING = Source(
    title="gradual unfreezing",
    text="Howard, Ruder. Universal Language Model Fine-tuning for Text "
    "Classification. ACL 2018, arXiv:1801.06146.",
    when=lambda config: config.freeze.thaw is not None,
)
ADAPTERS = Source(
    title="LoRA",
    text="Hu et al. LoRA: Low-Rank Adaptation of Large Language Models. "
    "ICLR 2022, arXiv:2106.09685.",
    when=lambda config: config.lora is not None,
)
LAYER_DECAY = Source(
    title="decay by layer",
    text="Clark, Luong, Le, Manning. ELECTRA. ICLR 2020, arXiv:2003.10555.",
    when=lambda config: config.train.layer_decay != 1,
)
AVERAGE = Source(
    title="average of the weights",
    text="Polyak, Juditsky. Acceleration of Stochastic Approximation by Averaging. "
    "SIAM Journal on Control and Optimization 30 (4), 1992.",
    when=lambda config: config.train.ema is not None,
)
