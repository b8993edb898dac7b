"""Every setting has one entry in the table of toggles, and its readers agree with the config."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl.config.key_kinds import config_keys
from mtl.config.presets import PRESETS
from mtl.config.schema import RunConfig
from mtl.config.settings import config_from
from mtl.errors import ConfigError
from mtl.methods.toggle import Method, Toggle
from mtl.methods.toggles import (
    COSTLY,
    TICKS,
    methods_of,
    task_toggles,
    toggle_of,
    typed_config,
    untold,
)
from mtl.methods.toggles import TOGGLES as SETTINGS
from mtl.report.published import published_row

TOGGLES = (*SETTINGS, *task_toggles())
BY_KEY = {toggle.key: toggle for toggle in TOGGLES}

VALUES: dict[str, tuple[Any, ...]] = {
    "encoder": ("minilm-l6", "bert-base"),
    "schedule": get_args(RunConfig.model_fields["schedule"].annotation),
    "pairing": ("siamese", "concat"),
    "pooling": ("pooler", "cls", "mean"),
    "heads.sst": ("mlp", "linear"),
    "heads.quora": ("auto", "dot", "features", "linear", "mlp"),
    "heads.sts": ("same", "auto", "cosine", "features", "mlp"),
    "task_weights.sst": (1.0, 2.0),
    "task_weights.quora": (1.0, 0.5),
    "task_weights.sts": (1.0, 3),
    "losses.sst": ("cross_entropy", "label_smoothing", "focal", "class_weights", "ordinal"),
    "losses.quora": ("bce", "label_smoothing", "focal", "class_weights", "mnrl"),
    "losses.sts": ("mse", "cosent"),
    "losses.smoothing": (0.1, 0.2),
    "losses.gamma": (2.0, 1.0),
    "losses.scale": (20.0, 10.0),
    "train.head_lr": (None, 1e-3),
    "train.layer_decay": (1.0, 0.9),
    "train.ema": (None, 0.9),
    "task_weights.rule": ("fixed", "uncertainty", "dwa"),
    "freeze.unfrozen": ("all", 0, 3),
    "freeze.scope": ("all", ("sst",), ("quora",), ("sts",), ("sst", "sts")),
    "freeze.thaw": (None, 1, 2),
    "freeze.dropout": (False, True),
    "freeze.states": ("fp32", "fp16"),
    "surgery": ("sum", "dominant", "pcgrad", "gradvac", "mgda", "upgrad"),
    "smart": (None, {}),
    "smart.lambda_s": (1.0, 0.0, 3.0),
    "smart.mu": (1.0, 0.0, 3.0),
    "smart.epsilon": (1e-5, 1e-3),
    "smart.sigma": (1e-5, 1e-3),
    "smart.eta": (1e-3, 1e-2),
    "smart.steps": (1, 0, 2),
    "smart.projection": ("clip", "normalise"),
    "smart.dropout": (False, True),
    "smart.beta": ((0.99, 0.999), (0.9, 0.9)),
    "rdrop": (None, 0.5),
    "lora": (None, {}),
    "lora.rank": (8, 1),
    "lora.alpha": (16.0, 8.0),
    "lora.targets": ("qv", "qkvo", "all"),
    "simcse": (None, {}),
    "simcse.steps": (100, 10),
    "simcse.batch_size": (64, 8),
    "simcse.lr": (3e-5, 1e-4),
    "simcse.scale": (20.0, 10.0),
    "tasks": (("sst", "quora", "sts"), ("sst",), ("quora",), ("sts",), ("sst", "sts")),
    "data": ("sample", "hub"),
    "limit": (None, 100),
    "max_length": (128, 64),
    "train.epochs": (3, 1),
    "train.max_steps": (None, 7),
    "train.max_examples": (None, 100),
    "train.batch_size": (16, 1),
    "train.accumulate": (1, 2),
    "train.lr": (1e-5, 1e-4),
    "train.task_weights_lr": (1e-2, 1e-1),
    "train.weight_decay": (0.0, 0.1),
    "train.warmup": (0.0, 0.1),
    "train.decay": ("none", "linear"),
    "train.dropout": (0.1, 0.0, 0.5),
    "train.max_grad_norm": (1.0, None),
    "train.precision": ("fp32", "bf16"),
    "train.select": ("best", "last"),
    "overall": ("mean", "shifted"),
}
"""Some values of every setting, its default first."""

METHODS = ("smart", "lora", "simcse")
"""The settings that are null or a section of settings."""


def changed(config: RunConfig, key: str, value: Any) -> RunConfig:
    """The config with one setting changed; `smart.*` turn SMART on, `lora.*` LoRA."""
    plain = config.model_dump()
    section, _, name = key.rpartition(".")
    settings = plain if not section else plain.get(section) or {}
    settings[name] = value
    return RunConfig.model_validate(plain | ({section: settings} if section else {}))


def others(config: RunConfig, key: str) -> list[RunConfig]:
    """The configs without problems that differ from `config` in one setting only."""
    configs = [
        changed(config, key, value) for value in VALUES[key] if value != BY_KEY[key].value(config)
    ]
    return [other for other in configs if not other.problems()]


RESTORED = (
    "freeze.scope", "freeze.thaw", "freeze.states", "losses.quora", "losses.sts", "rdrop", "simcse",
    "surgery", "task_weights.rule",
)  # fmt: skip
"""Settings that `configs` puts back where a problem names them, besides the heads."""


@st.composite
def configs(draw: st.DrawFn) -> RunConfig:
    """Any config without problems, with settings that have no effect among them."""
    sections = ("heads", "task_weights", "losses", "freeze", "train")
    raw: dict[str, Any] = {section: {} for section in sections}
    off = []
    for key, values in VALUES.items():
        section, _, name = key.rpartition(".")
        (raw[section] if section else raw)[name or key] = draw(st.sampled_from(values))
        if key in METHODS:
            off += [key] if raw[key] is None else []
            raw[key] = {}
    raw |= dict.fromkeys(off)
    config = RunConfig.model_validate(raw)
    for _ in range(2):  # what is put back can make a second problem
        for problem in config.problems():  # each names what to put back
            for key in problem.uses:
                if key.startswith("heads.") or key in RESTORED:
                    config = changed(config, key, VALUES[key][0])
            if any(key.startswith("heads.") for key in problem.uses):
                config = changed(changed(config, "heads.quora", "auto"), "heads.sts", "auto")
    assert config.problems() == []
    return config


# --- one entry a setting


def test_every_setting_but_the_seed_has_one_entry_and_every_entry_a_setting() -> None:
    wanted = {key for key, kind in config_keys().items() if kind.kinds != {"settings"}}
    assert set(BY_KEY) == wanted
    assert len(TOGGLES) == len(BY_KEY)
    assert all(
        found is not None and found.key == key for key in BY_KEY if (found := toggle_of(key))
    )
    assert set(VALUES) == wanted, "these tests need values of a new setting"


@pytest.mark.parametrize("toggle", TOGGLES, ids=lambda toggle: toggle.key)
def test_an_entry_says_what_the_setting_is(toggle: Toggle) -> None:
    assert toggle.title
    assert toggle.description, f"{toggle.key} needs a description in the schema"
    assert toggle.value(changed(RunConfig(), toggle.key, VALUES[toggle.key][0])) == toggle.neutral
    section, dot, _ = toggle.key.partition(".")
    on = {section: {}} if dot and section in METHODS else {}
    assert toggle.value(RunConfig.model_validate(on)) == toggle.neutral


# --- settings without effect


@settings(max_examples=60, deadline=None)
@given(configs())
def test_a_setting_is_idle_exactly_where_no_value_of_it_changes_the_run(config: RunConfig) -> None:
    resolved = config.resolved()
    for toggle in TOGGLES:
        section, dot, _ = toggle.key.partition(".")
        if dot and section in METHODS and getattr(config, section) is None:
            assert toggle.idle(config) and toggle.value(resolved) is None
            continue
        alternatives = others(config, toggle.key)
        same = all(other.canonical() == config.canonical() for other in alternatives)
        if toggle.idle(config):
            assert same, toggle.key
            assert toggle.value(resolved) in (toggle.neutral, None), toggle.key
        elif alternatives and toggle.key not in ("data", "encoder"):
            assert not same or toggle.key in _undecided(config), toggle.key


def _undecided(config: RunConfig) -> set[str]:
    """Settings that have an effect, though here every allowed value of `VALUES` has the same."""
    undecided = {"heads.quora", "heads.sts"}  # two words may mean the same head
    if config.smart is not None and not (config.smart.lambda_s or config.smart.mu):
        undecided |= {key for key in VALUES if key.startswith("smart")}
    # With half precision, thawing or LoRA the only other scope that is allowed names all tasks.
    freeze, lora = config.freeze, config.lora is not None
    only_scope = len(config.tasks) == 1 or freeze.states != "fp32" or freeze.thaw or lora
    return undecided | {"freeze.scope"} if only_scope else undecided


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["final", "freeze.dropout=true", "train.dropout=0"], "train.dropout=0 turns all dropout"),
        (["freeze.thaw=1"], "freeze.unfrozen=all freezes nothing"),
        (["final", "train.epochs=3", "freeze.thaw=3"], "train.epochs is not above freeze.thaw"),
        (["smart.steps=0", "smart.eta=1e-2"], "smart.steps=0 makes no ascent step"),
        (["smart.mu=0", "smart.beta=0.9"], "smart.mu=0 keeps no teacher"),
        (["smart.lambda_s=0", "smart.mu=0", "smart.sigma=1"], "smart.lambda_s=0 turns R_s off"),
    ],
)
def test_the_error_about_an_idle_setting_names_the_reason(words: list[str], reason: str) -> None:
    with pytest.raises(ConfigError, match="has no effect") as caught:
        typed_config(words)
    assert reason in str(caught.value)


def test_quoras_head_has_an_effect_where_sts_takes_it() -> None:
    assert typed_config(["tasks=sts", "heads.quora=features"]).head("sts") == "features"


# --- published models


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("toggle", TOGGLES, ids=lambda toggle: toggle.key)
def test_a_run_stands_beside_a_published_model_only_if_their_methods_agree(
    preset: str, toggle: Toggle
) -> None:
    config = config_from([preset])
    assert published_row(config) == preset
    for other in others(config, toggle.key):
        if toggle.may_differ:
            assert published_row(other) == preset
        elif methods_of(other) != methods_of(config):
            assert published_row(other) != preset


def test_forgetting_to_say_that_a_setting_may_differ_fails_safe() -> None:
    assert Toggle(key="train.lr", title="new").may_differ == ""
    changes = {"train.lr", "encoder", "data", "limit", "overall"}
    assert changes < {toggle.key for toggle in TOGGLES if toggle.may_differ}


# --- columns of ticks


def test_every_column_of_ticks_belongs_to_one_entry() -> None:
    assert tuple(TICKS) == get_args(Method)
    # That of cosine heads belongs to the heads of all tasks.
    assert len([toggle for toggle in TOGGLES if toggle.tick]) == len(TICKS) - 1


@pytest.mark.parametrize("base", ["baseline", "final", "smart={}", "schedule=consolidated"])
@pytest.mark.parametrize("toggle", TOGGLES, ids=lambda toggle: toggle.key)
def test_every_difference_from_the_baseline_shows_in_the_table(base: str, toggle: Toggle) -> None:
    config = config_from([base]).resolved()
    for other in others(config, toggle.key):
        other = other.resolved()
        if toggle.value(other) != toggle.value(config):
            ticks = [[tick(run) for tick in TICKS.values()] for run in (config, other)]
            shown = untold({toggle.key: toggle.value(other)})
            assert shown or ticks[0] != ticks[1]


def test_costs_depend_on_the_settings_that_say_so() -> None:
    assert {"encoder", "freeze.unfrozen", "smart", "train.batch_size"} < set(COSTLY)
    assert not {"train.lr", "train.epochs", "limit", "overall"} & set(COSTLY)
