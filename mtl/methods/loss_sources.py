"""The works to cite for each loss."""

from __future__ import annotations

from collections.abc import Callable

from mtl.config.schema import RunConfig
from mtl.methods.toggle import Source


def _has_loss(word: str) -> Callable[[RunConfig], bool]:
    return lambda config: any(config.losses.of(task) == word for task in config.tasks)


_TEXTS = {
    "label_smoothing": (
        "label smoothing",
        "Szegedy et al. Rethinking the Inception Architecture. CVPR 2016, arXiv:1512.00567.",
    ),
    "focal": (
        "focal loss",
        "Lin, Goyal, Girshick, He, Dollar. Focal Loss for Dense Object Detection. ICCV 2017, "
        "arXiv:1708.02002.",
    ),
    "class_weights": (
        "weights of classes",
        "King, Zeng. Logistic Regression in Rare Events Data. Political Analysis 9 (2), 2001.",
    ),
    "ordinal": (
        "soft labels for grades",
        "Diaz, Marathe. Soft Labels for Ordinal Regression. CVPR 2019.",
    ),
    "cosent": (
        "CoSENT",
        "Su. CoSENT. 2022, https://kexue.fm/archives/8847.",
    ),
    "mnrl": (
        "multiple negatives ranking",
        "Henderson et al. Efficient Natural Language Response Suggestion for Smart Reply. 2017, "
        "arXiv:1705.00652.",
    ),
}

LOSS_SOURCES = tuple(
    Source(title=title, text=text, when=_has_loss(word)) for word, (title, text) in _TEXTS.items()
)
