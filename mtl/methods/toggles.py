"""What is known of every toggle: one entry per setting of a run.

A `Toggle` says how a setting shows in reports, whether it changes the cost of a step, whether a
published model must agree with it, and whom to cite. Reports, costs, published rows, errors and the
reference in the docs read it here. The schema (`mtl.config.schema`) has the rest: type, default,
bounds, description, and when a setting has no effect. A setting without an entry, or an entry
without a setting, fails `tests/test_toggles.py`. No torch here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

from mtl.config.by_task import TASK_DEFAULTS
from mtl.config.schema import RunConfig
from mtl.config.settings import config_from
from mtl.config.task_weights import RULE
from mtl.errors import ConfigError
from mtl.methods.encoder_sources import ADAPTERS, THAWING
from mtl.methods.loss_sources import LOSS_SOURCES
from mtl.methods.surgery_sources import SURGERY_SOURCES
from mtl.methods.ticks import cosine, freezing, smart, unless
from mtl.methods.toggle import HeadToggle, LossToggle, Method, Source, Toggle, WeightToggle
from mtl.methods.train_toggles import NUMBERS, SCALE, TRAIN_TOGGLES
from mtl.tasks.registry import TASKS
from mtl.tasks.task import CourseData, Task


def _comes_with_pairing(task: Task) -> Callable[[Any, Mapping[str, Any]], bool]:
    """True for the head that `auto` chooses for the arm's pairing, and for a cosine head."""

    def in_tick(value: Any, changes: Mapping[str, Any]) -> bool:
        usual = task.auto_heads[changes["pairing"]] if "pairing" in changes else None
        return value in (usual, "cosine")

    return in_tick


TOGGLES: tuple[Toggle, ...] = (
    Toggle(
        key="encoder", title="encoder", may_differ=SCALE,
        cost="a larger encoder costs more",
        sources=(
            Source(
                title="encoder",
                text="Devlin, Chang, Lee, Toutanova. BERT: Pre-training of Deep Bidirectional "
                "Transformers. NAACL 2019, arXiv:1810.04805.",
                when=lambda config: True,
            ),
            Source(
                title="encoder minilm-l6",
                text="Wang et al. MiniLM: Deep Self-Attention Distillation. "
                "NeurIPS 2020, arXiv:2002.10957.",
                when=lambda config: config.encoder == "minilm-l6",
            ),
        ),
    ),
    Toggle(
        key="schedule", title="schedule",
        cost="a step of several tasks runs the model on smaller parts",
        method="schedule", tick=unless("pooled", "schedule"),
        sources=(
            Source(
                title="pooled batches",
                text="Liu, He, Chen, Gao. Multi-Task Deep Neural Networks. "
                "ACL 2019, arXiv:1901.11504.",
                when=lambda config: config.schedule == "pooled" and len(config.tasks) > 1,
            ),
            Source(
                title="annealed schedule",
                text="Stickland, Murray. BERT and PALs. ICML 2019, arXiv:1902.02671.",
                when=lambda config: config.schedule in ("annealed", "sqrt"),
            ),
        ),
    ),
    Toggle(
        key="pairing", title="pairing",
        cost="a joined pair is one longer sequence in place of two",
        method="joined pairs", tick=lambda config: "" if config.pairing == "concat" else None,
        sources=(
            Source(
                title="siamese pairs",
                text="Reimers, Gurevych. Sentence-BERT. EMNLP 2019, arXiv:1908.10084.",
                when=lambda config: (
                    config.pairing == "siamese" and any(TASKS[task].pair for task in config.tasks)
                ),
            ),
        ),
    ),
    Toggle(key="pooling", title="pooling", method="pooling", tick=unless("pooler", "pooling")),
    Toggle(
        key="freeze.unfrozen", title="layers that train",
        cost="frozen layers have no backward pass, and their outputs are cached",
        method="freezing", tick=freezing,
    ),
    Toggle(
        key="freeze.scope", title="tasks that freeze", method="freezing",
        cost="if it is not all, nothing is cached",
    ),
    Toggle(
        key="freeze.thaw", title="epochs from thaw to thaw", method="freezing",
        cost="layers that thaw get a backward pass; only what stays frozen to the end is cached",
        sources=(THAWING,),
    ),
    Toggle(
        key="freeze.dropout", title="dropout in frozen layers",
        may_differ="the paper does not say",
        cost="true: nothing is cached",
    ),
    Toggle(key="freeze.states", title="precision of cached states", may_differ=NUMBERS),
    Toggle(
        key="surgery", title="gradient surgery",
        cost="each task has a backward pass of its own",
        method="surgery", tick=unless("sum", "surgery"),
        sources=SURGERY_SOURCES,
    ),
    Toggle(
        key="task_weights.rule", title="rule of the tasks' weights",
        sources=(
            Source(
                title="weights by uncertainty",
                text="Kendall, Gal, Cipolla. Multi-Task Learning Using Uncertainty to Weigh "
                "Losses. CVPR 2018, arXiv:1705.07115.",
                when=lambda config: config.task_weights.rule == "uncertainty",
            ),
            Source(
                title="dynamic weight average (dwa)",
                text="Liu, Johns, Davison. End-to-End Multi-Task Learning with Attention. "
                "CVPR 2019, arXiv:1803.10704.",
                when=lambda config: config.task_weights.rule == "dwa",
            ),
        ),
    ),
    Toggle(key="losses.smoothing", title="share of label smoothing"),
    Toggle(key="losses.gamma", title="exponent of the focal loss"),
    Toggle(key="losses.scale", title="scale of similarities in a loss"),
    Toggle(
        key="smart", title="SMART", method="SMART", tick=smart,
        cost="a perturbed pass, and a pass per ascent step",
        sources=(
            Source(
                title="SMART",
                text="Jiang et al. SMART: Robust and Efficient Fine-Tuning. "
                "ACL 2020, arXiv:1911.03437.",
                when=lambda config: config.smart is not None,
            ),
        ),
    ),
    Toggle(
        key="smart.lambda_s", title="weight of R_s", method="SMART",
        cost="0: no noise and no ascent",
    ),
    Toggle(
        key="smart.mu", title="weight of D_Breg", method="SMART",
        cost="0: no pass of the teacher",
    ),
    Toggle(key="smart.epsilon", title="bound of the noise"),
    Toggle(key="smart.sigma", title="initial noise"),
    Toggle(key="smart.eta", title="length of an ascent step"),
    Toggle(key="smart.steps", title="ascent steps", cost="two passes per step"),
    Toggle(key="smart.projection", title="projection of the noise", method="SMART"),
    Toggle(key="smart.dropout", title="dropout of the perturbed pass"),
    Toggle(key="smart.beta", title="share of the teacher kept"),
    Toggle(
        key="rdrop", title="R-Drop",
        cost="two passes, forward and backward",
        sources=(
            Source(
                title="R-Drop",
                text="Liang et al. R-Drop: Regularized Dropout for Neural Networks. "
                "NeurIPS 2021, arXiv:2106.14448.",
                when=lambda config: config.rdrop is not None,
            ),
        ),
    ),
    Toggle(
        key="lora", title="LoRA",
        cost="frozen weights need no gradient and no moments; adapters add small products",
        sources=(ADAPTERS,),
    ),
    Toggle(key="lora.rank", title="rank of adapters", cost="larger is dearer"),
    Toggle(key="lora.alpha", title="strength of adapters"),
    Toggle(
        key="lora.targets", title="products with adapters", cost="more products are dearer",
    ),
    Toggle(
        key="simcse", title="SimCSE before training",
        cost="a pre-step of its own, before all steps",
        sources=(
            Source(
                title="SimCSE",
                text="Gao, Yao, Chen. SimCSE: Simple Contrastive Learning of Sentence Embeddings. "
                "EMNLP 2021, arXiv:2104.08821.",
                when=lambda config: config.simcse is not None,
            ),
        ),
    ),
    Toggle(key="simcse.steps", title="steps of the pre-step", cost="more steps are dearer"),
    Toggle(
        key="simcse.batch_size", title="sentences per step of the pre-step",
        cost="larger batches are dearer",
    ),
    Toggle(key="simcse.lr", title="learning rate of the pre-step"),
    Toggle(key="simcse.scale", title="scale of cosines in the pre-step"),
    Toggle(
        key="tasks", title="tasks", method="one task",
        cost="tasks differ in the length of their sentences",
        tick=lambda config: config.tasks[0] if len(config.tasks) == 1 else None,
        in_tick=lambda value, changes: len(value) == 1,
    ),
    Toggle(
        key="data", title="data", may_differ=SCALE,
        cost="data differ in the length of their sentences",
    ),
    Toggle(key="limit", title="training rows per task", may_differ=SCALE),
    Toggle(
        key="max_length", title="tokens per sequence", may_differ=SCALE,
        cost="shorter sequences are cheaper",
    ),
    *TRAIN_TOGGLES,
    Toggle(
        key="overall", title="rule of the overall score",
        may_differ="it changes how runs are scored and selected, not how they train",
    ),
)  # fmt: skip

BY_KEY: dict[str, Toggle] = {toggle.key: toggle for toggle in TOGGLES}


def task_toggles() -> list[Toggle]:
    """The heads, losses and weights of all known tasks."""
    heads: list[Toggle] = [
        HeadToggle(
            key=f"heads.{task.name}", title=f"head of {task.name}", task=task,
            in_tick=_comes_with_pairing(task) if task.pair else None,
        )
        for task in TASKS.readable()
    ]  # fmt: skip
    losses: list[Toggle] = [
        LossToggle(
            key=f"losses.{task.name}", title=f"loss of {task.name}", task=task
        )
        for task in TASKS.readable()
        if f"losses.{task.name}" not in BY_KEY
    ]  # fmt: skip
    return (
        heads
        + losses
        + [
            WeightToggle(
                key=f"task_weights.{task.name}", title=f"weight of {task.name}'s loss", task=task
            )
            for task in TASKS.readable()
            if f"task_weights.{task.name}" not in BY_KEY
        ]
    )


def toggle_of(key: str) -> Toggle | None:
    """The toggle of a setting; None for a word that is none."""
    if key not in BY_KEY and key.partition(".")[0] in TASK_DEFAULTS:
        return next((toggle for toggle in task_toggles() if toggle.key == key), None)
    return BY_KEY.get(key)


def sources_of(configs: Sequence[RunConfig]) -> list[Source]:
    """The works that these runs use, in the order of the settings, then those of the data."""
    sources = [source for toggle in TOGGLES for source in toggle.sources]
    sources += LOSS_SOURCES
    sources += [
        Source(title=task.name, text=task.citation, when=_has_data_of(task))
        for task in TASKS.readable()
        if task.citation is not None
    ]
    return [source for source in sources if any(source.when(config) for config in configs)]


def _has_data_of(task: Task) -> Callable[[RunConfig], bool]:
    own = not isinstance(task.data, CourseData)
    return lambda config: task.name in config.tasks and (own or config.data != "sample")


COSTLY: tuple[str, ...] = tuple(toggle.key for toggle in TOGGLES if toggle.cost)
"""The settings on which the seconds of a training example depend."""

_TICKS = {toggle.method: toggle.tick for toggle in TOGGLES if toggle.tick} | {"cosine": cosine}
TICKS: dict[Method, Callable[[RunConfig], str | None]] = {
    method: tick for method in get_args(Method) if (tick := _TICKS[method]) is not None
}
"""Each column of ticks: None where a config has the method off, else which kind of it is on."""


def methods_of(config: RunConfig) -> dict[str, Any]:
    """The settings that tell published models apart: all but those that may differ."""
    config = config.resolved()
    plain = {toggle.key: toggle.value(config) for toggle in TOGGLES if not toggle.may_differ}
    plain |= {f"heads.{task}": config.head(task) for task in config.tasks}
    plain |= {f"losses.{task}": config.losses.of(task) for task in config.tasks}
    return plain | {"task_weights": config.task_weights.written()}


def untold(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes from the baseline that no column of ticks tells."""
    found = {}
    for key, value in changes.items():
        toggle = toggle_of(key)
        if toggle is None or not toggle.shows(value, changes):
            found[key] = value
    return found


def typed_config(words: Sequence[str]) -> RunConfig:
    """The config of a command line for one run. A `key=value` without effect is an error.

    A grid may hold such cells: they are merged with the cells that compute the same. Raises
    ConfigError.
    """
    config = config_from(words)
    problems = []
    for word in words:
        key, equals, _ = word.partition("=")
        key = RULE if key.strip() == "task_weights" else key.strip()  # a word is the rule's
        toggle = toggle_of(key) if equals else None
        if toggle is None or toggle.value(config) in (toggle.neutral, "auto", "same"):
            continue
        if reason := toggle.idle(config):
            problems.append(f"{word!r} has no effect: {reason}")
    if problems:
        raise ConfigError("\n".join(problems))
    return config
