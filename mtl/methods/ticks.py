"""How a run's methods show in the columns of ticks of a report: None where a method is off."""

from __future__ import annotations

from collections.abc import Callable

from mtl.config.schema import RunConfig
from mtl.tasks.registry import TASKS


def freezing(config: RunConfig) -> str | None:
    if config.freeze.unfrozen == "all":
        return None
    scope = "" if config.freeze.scope == "all" else f" for {', '.join(config.freeze.scope)}"
    layers = (
        f"all but the last {config.freeze.unfrozen}" if config.freeze.unfrozen else "all layers"
    )
    every = {None: "", 1: ", thawed by epoch"}.get(
        config.freeze.thaw, f", thawed every {config.freeze.thaw} epochs"
    )
    return layers + scope + every


def smart(config: RunConfig) -> str | None:
    if config.smart is None:
        return None
    return f"λ={config.smart.lambda_s:g}, μ={config.smart.mu:g}, {config.smart.projection}"


def cosine(config: RunConfig) -> str | None:
    """The tasks with a cosine head; no text where these are all tasks that can have one."""
    able = [task for task in config.tasks if "cosine" in TASKS[task].heads["siamese"]]
    chosen = [task for task in able if config.head(task) == "cosine"]
    return None if not chosen else "" if chosen == able else ", ".join(chosen)


def unless(neutral: str, key: str) -> Callable[[RunConfig], str | None]:
    """The setting's word as the tick's text, no tick at its neutral word."""

    def tick(config: RunConfig) -> str | None:
        word = str(getattr(config, key))
        return None if word == neutral else word

    return tick
