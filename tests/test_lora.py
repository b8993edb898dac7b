"""LoRA: adapters of low rank train in place of the encoder's own weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mtl.config.lora import Lora
from mtl.model.batch import make_batch
from mtl.model.linear import Linear
from mtl.model.lora import Adapted, describe_adapters
from mtl.model.multitask import MultiTaskModel
from mtl.model.packing import pack
from mtl.training.run import Training
from tests.training_tools import config, started


def moved(model: nn.Module, seed: int = 0) -> nn.Module:
    """The model with a B that is not 0, as after training."""
    draw = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, Adapted):
            for b in module.b.values():
                b.data.normal_(std=0.1, generator=draw)
    return model


def adapted(
    slices: tuple[str, ...], inputs: int, outputs: int, **settings: Any
) -> tuple[Linear, Adapted]:
    """A layer in float64, and the same layer with adapters whose B is not 0."""
    torch.manual_seed(0)
    base = Linear(inputs, outputs).double()
    layer = Adapted(base, slices, Lora(**settings), seed=0, layer=0).double()
    moved(layer)
    return base, layer


def outputs_of(training: Training, step: int = 0) -> dict[str, Tensor]:
    """The model's outputs for the rows of a step, without dropout."""
    prepared = training.prepared
    rows, device = training.plan.rows(step), torch.device("cpu")
    batch = make_batch(prepared.train, rows, prepared.pairer, device, training.frozen_cache)
    with torch.no_grad():
        return training.model(batch)  # type: ignore[no-any-return]


# --- the layer


def test_a_value_calculated_by_hand() -> None:
    """x = (1, 2), A = (1, 1), B = (3, 5)', alpha / rank = 4: the value gets 4 * 3 * (3, 5)."""
    base = Linear(2, 6)
    base.weight.data, base.bias.data = torch.zeros(6, 2), torch.arange(6.0)
    layer = Adapted(base, ("q", "k", "v"), Lora(rank=1, alpha=4.0), seed=0, layer=0)
    layer.a["q"].data, layer.b["q"].data = torch.ones(1, 2), torch.zeros(2, 1)
    layer.a["v"].data, layer.b["v"].data = torch.ones(1, 2), torch.tensor([[3.0], [5.0]])
    assert layer(torch.tensor([[1.0, 2.0]])).tolist() == [[0, 1, 2, 3, 4 + 36, 5 + 60]]
    change = torch.tensor([[0.0, 0.0]] * 4 + [[12.0, 12.0], [20.0, 20.0]])
    assert torch.equal(layer.matrix(), change)


@pytest.mark.parametrize("targets", ["qv", "qkvo", "all"])
def test_outputs_and_gradients_are_those_of_separate_products(targets: Any) -> None:
    """Queries, keys and values as three layers of their own, each with A and B beside it."""
    base, layer = adapted(("q", "k", "v"), 6, 12, rank=2, alpha=3.0, targets=targets)
    x = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, 12, dtype=torch.float64)
    factors = {
        name: (layer.a[name].detach().clone(), layer.b[name].detach().clone()) for name in layer.a
    }
    assert set(factors) == ({"q", "v"} if targets == "qv" else {"q", "k", "v"})
    parts = []
    for name, w, bias in zip("qkv", base.weight.chunk(3), base.bias.chunk(3), strict=True):
        part = nn.functional.linear(x, w.detach(), bias.detach())
        if name in factors:
            a, b = (value.requires_grad_() for value in factors[name])
            part = part + 3.0 / 2 * (x @ a.T @ b.T)
        parts.append(part)
    reference = torch.cat(parts, 1)
    found = layer(x)
    torch.testing.assert_close(found, reference)
    torch.testing.assert_close(x @ layer.matrix().T + layer.bias, reference)
    ours = [value for name in factors for value in (layer.a[name], layer.b[name])]
    theirs = [value for name in factors for value in factors[name]]
    got = torch.autograd.grad((found * weight).sum(), [x, *ours])
    want = torch.autograd.grad((reference * weight).sum(), [x, *theirs])
    torch.testing.assert_close(got, want)


def test_peft_gives_the_same_outputs_and_gradients(tiny: dict[str, Any], tmp_path: Path) -> None:
    """The library of the paper's successors, on a BERT of `transformers` with our weights."""
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    training = started(config(tiny, lora={"rank": 4, "alpha": 6.0, "targets": "all"}), tmp_path)
    moved(training.model)
    folder = training.prepared.pretrained.folder
    names = {"q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
             "o": "attention.output.dense", "inner": "intermediate.dense",
             "outer": "output.dense"}  # fmt: skip
    settings = peft.LoraConfig(
        r=4, lora_alpha=6.0, target_modules=["query", "key", "value", "output.dense",
        "intermediate.dense"],
    )  # fmt: skip
    reference = peft.get_peft_model(transformers.AutoModel.from_pretrained(folder), settings).eval()
    pairs = []
    for path, module in training.model.encoder.named_modules():
        if isinstance(module, Adapted):
            number = path.split(".")[1]
            for name in module.a:
                theirs = reference.get_submodule(
                    f"base_model.model.encoder.layer.{number}.{names[name]}"
                )
                a, b = theirs.lora_A.default.weight, theirs.lora_B.default.weight
                a.data.copy_(module.a[name])
                b.data.copy_(module.b[name])
                pairs += [(module.a[name], a), (module.b[name], b)]
    assert len(pairs) == 2 * 6 * training.model.encoder.config.layers
    ids = np.arange(5, 17)
    ours = training.model.encoder(pack([ids]))
    found = reference(torch.tensor(ids)[None]).pooler_output
    torch.testing.assert_close(ours, found, rtol=0, atol=1e-5)
    ours.square().sum().backward()
    found.square().sum().backward()
    for own, theirs in pairs:
        torch.testing.assert_close(own.grad, theirs.grad, rtol=1e-4, atol=1e-6)


def test_a_model_with_one_computed_token_has_the_adapters_of_its_last_layer(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    """`cls` computes the last layer at one token, from the weights; `mean` from the products."""
    training = started(config(tiny, lora={"targets": "all"}, pooling="cls"), tmp_path)
    model = moved(training.model)
    assert isinstance(model, MultiTaskModel)
    batch = pack([np.arange(5, 17), np.arange(7, 12)])
    states = model.encoder.run(model.encoder.embed(batch), batch)
    first = model.encoder(batch, pooling="cls")
    torch.testing.assert_close(first, states[batch.starts], rtol=0, atol=1e-5)


# --- the start


@pytest.mark.parametrize("pooling", ["pooler", "mean"])
@pytest.mark.parametrize("targets", ["qv", "all"])
def test_the_first_forward_is_that_of_full_fine_tuning(
    tiny: dict[str, Any], tmp_path: Path, targets: str, pooling: str
) -> None:
    plain = started(config(tiny, pooling=pooling), tmp_path)
    with_lora = started(config(tiny, pooling=pooling, lora={"targets": targets}), tmp_path)
    one, two = outputs_of(plain), outputs_of(with_lora)
    for task, output in one.items():
        torch.testing.assert_close(two[task], output, rtol=0, atol=1e-6)
    described = describe_adapters(with_lora.model.encoder)
    assert described is not None and described["change"] == 0
    assert describe_adapters(plain.model.encoder) is None


def test_an_adapter_starts_the_same_whatever_the_others_are(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    def drawn(seed: int, **changes: Any) -> dict[str, Tensor]:
        found = started(config(tiny, seed=seed, **changes), tmp_path).model.trainable()
        return {name: value for name, value in found.items() if ".a." in name}

    all_, some = drawn(0, lora={"targets": "all"}), drawn(0, lora={}, freeze={"unfrozen": 1})
    assert set(some) == {f"encoder.layers.1.qkv.a.{name}" for name in "qv"} < set(all_)
    assert all(torch.equal(value, all_[name]) for name, value in some.items())
    other = drawn(1, lora={"targets": "all"})
    width = all_["encoder.layers.1.qkv.a.q"].shape[1]
    for name, value in all_.items():
        assert not torch.equal(value, other[name])
        bound = value.shape[1] ** -0.5
        assert 0.8 * bound < float(value.detach().abs().max()) <= bound
    assert len({float(value.detach().sum()) for value in all_.values()}) == len(all_) == 2 * 6
    assert all_["encoder.layers.1.outer.a.outer"].shape[1] > width
