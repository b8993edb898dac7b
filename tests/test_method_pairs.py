"""Methods together: every two that the config allows train three steps side by side."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

import mtl
from mtl.config.settings import config_from
from mtl.errors import ConfigError

METHODS: dict[str, tuple[str, ...]] = {
    "schedule": ("schedule=consolidated", "schedule=joint"),
    "surgery": ("surgery=pcgrad", "surgery=dominant", "surgery=gradvac", "surgery=upgrad"),
    "pairing": ("pairing=concat",),
    "pooling": ("pooling=mean",),
    "heads": ("heads.sst=linear", "heads.sts=features"),
    "task_weights": (
        "task_weights.sst=2",
        "task_weights.rule=uncertainty",
        "task_weights.rule=dwa",
    ),
    "losses.sst": ("losses.sst=focal", "losses.sst=class_weights", "losses.sst=ordinal"),
    "losses.quora": ("losses.quora=label_smoothing", "losses.quora=mnrl"),
    "losses.sts": ("losses.sts=cosent",),
    "freeze.unfrozen": ("freeze.unfrozen=1", "freeze.unfrozen=0"),
    "freeze.scope": ("freeze.scope=[sts]",),
    "freeze.thaw": ("freeze.thaw=1",),
    "freeze.dropout": ("freeze.dropout=true",),
    "smart": ("smart={}", "smart.projection=normalise"),
    "rdrop": ("rdrop=0.5",),
    "lora": ("lora={}", "lora.targets=all"),
    "simcse": ("simcse.steps=2",),
    "train.accumulate": ("train.accumulate=2",),
    "train.head_lr": ("train.head_lr=1e-2",),
    "train.layer_decay": ("train.layer_decay=0.8",),
    "train.ema": ("train.ema=0.9",),
    "train.max_examples": ("train.max_examples=10000",),
    "train.precision": ("train.precision=bf16",),
    "train.decay": ("train.decay=linear",),
    "train.select": ("train.select=last",),
}
"""Each method's settings that turn it on, one kind a word."""
NEEDS = {
    "surgery": ("schedule=consolidated", "train.batch_size=16"),
    "freeze.scope": ("freeze.unfrozen=1",),
    "freeze.thaw": ("freeze.unfrozen=1",),
    "freeze.dropout": ("freeze.unfrozen=1",),
}
"""What a method needs beside it, where no other word says so."""
STEPS = 3
Word = tuple[str, str]
"""A method and one of its words."""


def words_of(chosen: tuple[Word, ...]) -> list[str]:
    """The words of a command line for some methods, with what they need; a choice goes first."""
    keys = {word.partition("=")[0] for _, word in chosen}
    needed = {
        need.partition("=")[0]: need
        for method, _ in chosen
        for need in NEEDS.get(method, ())
        if need.partition("=")[0] not in keys
    }
    return [*(word for _, word in chosen), *needed.values()]


def allowed(chosen: tuple[Word, ...]) -> bool:
    """Whether the config takes these methods together, each with an effect."""
    methods = [method for method, _ in chosen]
    if len(set(methods)) < len(methods):
        return False
    words = words_of(chosen)
    try:
        config = config_from(words)
    except ConfigError:
        return False
    return not config.problems() and not any(config.idle(word.partition("=")[0]) for word in words)


def covering() -> list[tuple[Word, ...]]:
    """Few sets of methods that hold every allowed pair, each filled up while it is allowed."""
    words = [(method, word) for method, kinds in METHODS.items() for word in kinds]
    left = [pair for pair in combinations(words, 2) if allowed(pair)]
    sets = []
    while left:
        chosen: tuple[Word, ...] = left[0]
        for word in words:
            fresh = any(word in pair and set(pair) - {word} <= set(chosen) for pair in left)
            if fresh and allowed((*chosen, word)):
                chosen = (*chosen, word)
        held = set(combinations(sorted(chosen), 2))
        left = [pair for pair in left if tuple(sorted(pair)) not in held]
        sets.append(chosen)
    return sets


SETS = covering()


def test_every_method_has_a_set() -> None:
    held = {word for chosen in SETS for word in chosen}
    assert held == {(method, word) for method, kinds in METHODS.items() for word in kinds}


@pytest.mark.parametrize("chosen", SETS, ids=lambda chosen: " ".join(word for _, word in chosen))
def test_methods_train_side_by_side(
    chosen: tuple[Word, ...], tiny_data: Path, tmp_path: Path
) -> None:
    base = [f"data={tiny_data}", "encoder=random-tiny", "train.lr=1e-3", "limit=40"]
    words = [*base, *words_of(chosen), f"train.max_steps={STEPS}"]
    record = mtl.train(config_from(words), runs=tmp_path)
    assert record.status == "done" and record.steps == STEPS
    assert record.metrics["dev/overall"] is None or record.metrics["dev/overall"] >= -1
