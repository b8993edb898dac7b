"""`train.head_lr` and `train.layer_decay`: each parameter moves at its own learning rate."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import mtl
from mtl.config.settings import config_from
from mtl.errors import ConfigError
from mtl.methods.toggles import typed_config
from mtl.model.find import find_encoder
from mtl.model.multitask import MultiTaskModel
from mtl.model.pretrained import Pretrained
from mtl.runs.folder import RunFolder
from mtl.training.optim import Optimizer
from mtl.training.rates import rate_factors
from tests.family_tools import FAMILY_NAMES, write_family

TINY = ["encoder=random-tiny", "tasks=sst,sts", "train.lr=1e-3"]


def model_of(words: list[str]) -> MultiTaskModel:
    return MultiTaskModel(config_from(words), find_encoder("random-tiny").load(0))


def test_factors_by_hand() -> None:
    words = [*TINY, "train.layer_decay=0.5", "train.head_lr=1e-2"]
    factors = rate_factors(model_of(words), config_from(words).train)
    assert factors["encoder.words.weight"] == factors["encoder.embedding_norm.bias"] == 0.25
    assert factors["encoder.layers.0.qkv.weight"] == 0.5
    assert factors["encoder.layers.1.outer.bias"] == 1
    assert factors["encoder.pooler.weight"] == 1
    assert factors["heads.sst.hidden.weight"] == pytest.approx(10)


def test_neutral_values_give_the_usual_two_groups() -> None:
    model = model_of(TINY)
    settings = config_from(TINY).train
    plain = Optimizer(model.trainable(), settings).adamw.param_groups
    groups = Optimizer(model.trainable(), settings, rate_factors(model, settings)).adamw
    assert [group["params"] for group in groups.param_groups] == [
        group["params"] for group in plain
    ]
    assert len(plain) == 2


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_every_family_has_its_layers(family: str, tmp_path: Path) -> None:
    config = config_from(["tasks=sst", "pooling=mean", "train.layer_decay=0.5"])
    encoder = Pretrained("x", write_family(tmp_path / family, family)).load()
    factors = rate_factors(MultiTaskModel(config, encoder), config.train)
    by_layer = {
        layer: {value for name, value in factors.items() if f".layers.{layer}." in name}
        for layer in range(3)
    }  # fmt: skip
    assert by_layer == {0: {0.25}, 1: {0.5}, 2: {1.0}}
    assert factors["encoder.words.weight"] == 0.125


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_a_step_moves_each_parameter_as_an_optimizer_of_its_rate_would(
    weight_decay: float,
) -> None:
    torch.manual_seed(0)
    modules = [torch.nn.Linear(4, 3) for _ in range(2)]
    modules[1].load_state_dict(modules[0].state_dict())
    lr = f"train.weight_decay={weight_decay}"
    settings = config_from(["train.lr=0.1", lr, "train.max_grad_norm=null"]).train
    ours = Optimizer(dict(modules[0].named_parameters()), settings, {"weight": 0.5})
    groups = [{"params": [modules[1].weight], "lr": 0.05, "weight_decay": weight_decay},
              {"params": [modules[1].bias], "lr": 0.1, "weight_decay": 0.0}]  # fmt: skip
    theirs = torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-6)
    for _ in range(5):
        inputs = torch.randn(6, 4)
        for module in modules:
            module(inputs).square().sum().backward()
        ours.step(0.1)
        theirs.step()
        ours.zero_grad()
        theirs.zero_grad()
    for first, second in zip(modules[0].parameters(), modules[1].parameters(), strict=True):
        assert torch.allclose(first, second, atol=1e-6)


@pytest.mark.parametrize("word", ["train.head_lr=1e-2", "train.layer_decay=0.3"])
def test_a_run_with_its_own_rates_has_other_scores_and_the_same_first_loss(
    word: str, tiny_data: Path, tmp_path: Path
) -> None:
    words = [*TINY, f"data={tiny_data}", "limit=40", "train.epochs=1"]
    records = [mtl.train(config_from(more), runs=tmp_path) for more in (words, [*words, word])]
    logs = [RunFolder(tmp_path / one.run_id).metrics.read_text().splitlines() for one in records]
    assert logs[0][0] == logs[1][0].replace(records[1].run_id, records[0].run_id)
    assert logs[0][2] != logs[1][2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train.lr=1e-3", "train.head_lr=1e-3"], "the learning rate of all"),
        (["freeze.unfrozen=0", "train.layer_decay=0.9"], "trains no layer"),
    ],
)
def test_a_rate_without_effect_is_an_error(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        typed_config(words)
