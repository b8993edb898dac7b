"""What the settings `freeze.*` exclude. No torch here."""

from __future__ import annotations

from mtl.config.lora import Lora
from mtl.config.sections import Freeze, Smart
from mtl.documents.validation import Problem


def freeze_problems(freeze: Freeze, smart: Smart | None, lora: Lora | None) -> list[Problem]:
    """Settings beside a resolved `freeze` that it cannot have."""
    return [*_thaw_problems(freeze, lora), *_states_problems(freeze, smart)]


def _thaw_problems(freeze: Freeze, lora: Lora | None) -> list[Problem]:
    """Layers that are to thaw, where some tasks train them already or adapters stand for them."""
    if freeze.thaw is None:
        return []
    reasons = {
        "freeze.scope": (
            freeze.scope != "all",
            "with a freeze.scope the other tasks train every layer from the start. "
            "Use freeze.scope=all",
        ),
        "lora": (lora is not None, "lora keeps the layers' own weights frozen. Use lora=null"),
    }
    return [
        Problem(
            uses=("freeze.thaw", key),
            message=f"freeze.thaw={freeze.thaw}: {why}, or freeze.thaw=null.",
        )
        for key, (excluded, why) in reasons.items()
        if excluded
    ]


def _states_problems(freeze: Freeze, smart: Smart | None) -> list[Problem]:
    """Rounded outputs of frozen layers where these outputs are not fixed."""
    if freeze.states == "fp32":
        return []
    reasons = {
        "freeze.scope": (freeze.scope != "all", "with a freeze.scope they change"),
        "freeze.thaw": (freeze.thaw is not None, "with freeze.thaw these layers train later"),
        "freeze.dropout": (freeze.dropout, "with freeze.dropout=true they are random"),
        "smart": (smart is not None, "SMART perturbs their input"),
    }
    return [
        Problem(
            uses=("freeze.states", key),
            message=f"freeze.states={freeze.states!r} rounds the outputs of frozen "
            f"layers; {why}. Use freeze.states=fp32, or change {key}.",
        )
        for key, (excluded, why) in reasons.items()
        if excluded
    ]
