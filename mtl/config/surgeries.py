"""The words of `surgery`: those that exist, and why others do not. No torch here."""

from __future__ import annotations

import importlib.metadata
from importlib.util import find_spec
from typing import Any, Literal

from mtl.documents.validation import wrong

Surgery = Literal[
    "sum", "dominant", "pcgrad", "gradvac", "mgda", "imtlg", "alignedmtl", "cagrad", "upgrad",
    "dualproj", "fairgrad", "random",
]  # fmt: skip
NEEDS: dict[str, tuple[str, ...]] = {
    "mgda": (),
    "imtlg": (),
    "alignedmtl": (),
    "cagrad": ("cvxpy", "clarabel"),
    "upgrad": ("qpsolvers", "quadprog"),
    "dualproj": ("qpsolvers", "quadprog"),
    "fairgrad": ("scipy",),
    "random": (),
}
"""The surgeries of TorchJD, and the modules that each needs beside it."""
EXTRA = "pip install 'mtl-ablate[torchjd]'"
_WHOLE = "it needs whole gradients, and surgery here has their inner products only"
_KEEPS = "it keeps a state that cannot be saved, so a run could not resume"
REFUSED = {
    "graddrop": _WHOLE,
    "config": _WHOLE,
    "trimmedmean": _WHOLE,
    "nashmtl": _KEEPS,
    "crmogm": _KEEPS,
    "excessmtl": _KEEPS,
    "modo": "it needs several independent batches a step",
    "sdmgrad": "it needs several independent batches a step",
    "krum": "it takes faulty workers out, and tasks are none",
    "mean": "it is surgery=sum with a smaller learning rate",
}
"""Aggregators of TorchJD that are not offered, and why."""


def check_word(word: Any) -> Any:
    """Refuse a known aggregator that is not offered, with the reason."""
    if isinstance(word, str) and word in REFUSED:
        raise wrong(f"{word} is not offered: {REFUSED[word]}. Use one of {', '.join(NEEDS)}.")
    return word


def missing_for(word: str) -> list[str]:
    """The modules that a surgery needs and that are not installed."""
    needed = ("torchjd", *NEEDS[word]) if word in NEEDS else ()
    return [name for name in needed if find_spec(name) is None]


def torchjd_version() -> str | None:
    """The installed version of TorchJD."""
    try:
        return importlib.metadata.version("torchjd")
    except importlib.metadata.PackageNotFoundError:
        return None
