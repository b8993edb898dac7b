"""`freeze.thaw`: a layer holds still until its epoch, and trains as any other from then on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mtl.config.settings import config_from
from mtl.methods.smart import SmartPenalty
from mtl.model.freezing import Freezing
from mtl.model.frozen.cache import DISABLED
from mtl.training.loop import train
from mtl.training.outcome import frozen_unchanged
from mtl.training.rates import rate_factors
from mtl.training.run import Training
from tests.family_tools import write_family
from tests.training_tools import config, losses, started, thawing


def freezing(unfrozen: int, thaw: int | None, epochs: int, layers: int = 6) -> Freezing:
    words = [f"freeze.unfrozen={unfrozen}", f"train.epochs={epochs}"]
    words += [] if thaw is None else [f"freeze.thaw={thaw}"]
    return Freezing.from_config(config_from(words), layers)


def depth_of(name: str) -> int:
    """The layer of an encoder's parameter from 1, 0 for the embeddings, 99 for what always trains.

    Relative positions, which all layers share, lie in the lowest.
    """
    parts = name.removeprefix("encoder.").removeprefix("model.").split(".")
    if "layers" in parts or "layer" in parts:
        return 1 + next(int(part) for part in parts if part.isdigit())
    if parts[0] in ("pooler", "heads", "final_norm"):
        return 99
    return 1 if parts[0] == "relative" else 0


def weights(training: Training) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in training.model.named_parameters()}


def moved(training: Training, before: dict[str, Tensor]) -> set[str]:
    now = training.model.named_parameters()
    return {name for name, value in now if not torch.equal(value, before[name])}


# --- the cut


@pytest.mark.parametrize(
    ("unfrozen", "thaw", "epochs", "boundaries", "cacheable"),
    [
        (3, None, 4, [3, 3, 3, 3], 3),
        (3, 1, 4, [3, 2, 1, 0], None),
        (3, 1, 6, [3, 2, 1, 0, None, None], None),
        (3, 2, 5, [3, 3, 2, 2, 1], 1),
        (3, 4, 4, [3, 3, 3, 3], 3),
        (6, 1, 2, [0, None], None),
        (0, 1, 2, [6, 5], 5),
    ],
)
def test_the_cut_by_hand(
    unfrozen: int, thaw: int | None, epochs: int, boundaries: list[int], cacheable: int | None
) -> None:
    found = freezing(unfrozen, thaw, epochs)
    assert [found.boundary(epoch) for epoch in range(epochs)] == boundaries
    assert found.lowest == boundaries[-1]
    assert found.cacheable_layers == cacheable


def test_a_description_has_the_epochs_that_began() -> None:
    found = freezing(5, 1, 4)
    assert found.describe(6, 4) == {"layers": [5, 6, 6, 6], "embeddings": 3}
    assert found.describe(6, 2) == {"layers": [5, 6], "embeddings": None}
    assert freezing(5, None, 4).describe(6, 4) is freezing(5, 4, 4).describe(6, 4) is None


# --- what moves, and when


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "surgery": {"schedule": "joint", "surgery": "pcgrad"},
    "SMART": {"smart": {"projection": "normalise"}},
    "average": {"train__ema": 0.9, "train__layer_decay": 0.5},
    "dropout below": {"freeze__dropout": True, "train__accumulate": 2},
}


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize(("unfrozen", "thaw", "epochs"), [(0, 1, 4), (1, 1, 2), (1, 2, 5)])
def test_a_layer_has_its_loaded_bytes_until_its_epoch_and_moves_in_it(
    tiny: dict[str, Any],
    tmp_path: Path,
    unfrozen: int,
    thaw: int,
    epochs: int,
    changes: dict[str, Any],
) -> None:
    """Weight decay and momentum leave it alone too. The random-tiny encoder has two layers."""
    changes = {"train__weight_decay": 0.1, "limit": 8, **changes}
    training = started(thawing(tiny, unfrozen, thaw, epochs, **changes), tmp_path)
    loaded = weights(training)
    for epoch in range(epochs):
        lowest = 2 - unfrozen - epoch // thaw  # the lowest depth that trains, less one
        before = weights(training)
        for rows in training.plan.epoch(epoch):
            training.step(rows)
            assert all(
                (value.grad is not None) == (depth_of(name) > lowest)
                for name, value in training.trainable.items()
                if name.startswith("encoder.")
            )
        trains = {name for name in loaded if depth_of(name) > lowest}
        assert moved(training, before) == trains
        assert moved(training, loaded) == trains
    never = [name for name in loaded if name not in training.trainable]
    assert never == [name for name in loaded if depth_of(name) <= lowest]
    unchanged = frozen_unchanged(training.model, training.prepared.pretrained, 0)
    assert unchanged is (True if never else None)


@pytest.mark.parametrize("family", ["electra", "mpnet"])
def test_packed_families_thaw_all_that_they_have(
    tiny: dict[str, Any], tmp_path: Path, family: str
) -> None:
    """Projections of the embeddings and relative positions among them; three layers."""
    folder = write_family(tmp_path / family, family)
    chosen = thawing(tiny, 1, 1, 4, encoder=str(folder), pooling="mean", tasks=["sst"])
    training = started(chosen, tmp_path)
    loaded = weights(training)
    for epoch, lowest in enumerate([2, 1, 0, -1]):
        for rows in training.plan.epoch(epoch):
            training.step(rows)
        pooler = {name for name in loaded if "pooler" in name}
        assert (
            moved(training, loaded) == {name for name in loaded if depth_of(name) > lowest} - pooler
        )


def test_an_encoder_of_transformers_thaws_too(tiny: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from tests.test_fallback import write_kind

    folder = write_kind(tmp_path / "modernbert", "modernbert")
    chosen = thawing(tiny, 1, 1, 4, encoder=str(folder), pooling="mean", tasks=["sst"])
    training = started(chosen, tmp_path)
    loaded = weights(training)
    for epoch, lowest in enumerate([2, 1, 0, -1]):
        for rows in training.plan.epoch(epoch):
            training.step(rows)
        assert moved(training, loaded) == {
            name for name in training.trainable if depth_of(name) > lowest
        }


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"schedule": "joint", "surgery": "pcgrad"},
        {"schedule": "joint", "surgery": "gradvac", "task_weights": {"rule": "uncertainty"}},
        {"smart": {}, "train__max_grad_norm": 0.1},
    ],
    ids=str,
)
def test_until_the_first_move_the_run_is_the_frozen_one_bit_for_bit(
    tiny: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
) -> None:
    """Losses, norms and surgery's inner products: what thaws later has no part in them."""
    monkeypatch.setattr("mtl.training.run.make_frozen_cache", lambda *_, **__: DISABLED)
    chosen = [
        thawing(tiny, 1, 2, 3, train__decay="linear", **changes),
        config(tiny, freeze__unfrozen=1, train__epochs=3, train__decay="linear", **changes),
    ]
    folders = [tmp_path / name / train(one, runs=tmp_path / name).run_id
               for name, one in zip("ab", chosen, strict=True)]  # fmt: skip
    thawed, frozen = map(losses, folders)
    two_epochs = 2 * len(frozen) // 3
    assert thawed[: two_epochs + 1] != thawed[:two_epochs]
    assert thawed[:two_epochs] == frozen[:two_epochs]
    assert thawed[two_epochs]["grad_norm"] > frozen[two_epochs]["grad_norm"]
    assert thawed[-1]["loss"] != frozen[-1]["loss"]


@pytest.mark.parametrize("surgery", ["sum", "pcgrad"])
def test_once_all_is_thawed_a_step_has_the_gradients_of_plain_fine_tuning(
    tiny: dict[str, Any], tmp_path: Path, surgery: str
) -> None:
    """On the same weights, rows and dropout masks, to the bit."""
    changes = {"schedule": "joint", "surgery": surgery, "train__batch_size": 12}
    thawed = started(thawing(tiny, 1, 1, 3, **changes), tmp_path)
    for epoch in range(2):
        for rows in thawed.plan.epoch(epoch):
            thawed.step(rows)
    plain = started(config(tiny, train__epochs=3, **changes), tmp_path)
    plain.model.load_state_dict(thawed.model.state_dict())
    plain.state.step = thawed.state.step
    assert plain.trainable.keys() == thawed.trainable.keys()
    rows = thawed.plan.rows(thawed.state.step)
    for training in (thawed, plain):
        torch.manual_seed(7)
        training.step(rows)
    for name, value in plain.trainable.items():
        gradients = [one.grad for one in (value, thawed.trainable[name])]
        assert gradients[0] is not None and gradients[1] is not None, name
        dense = [one.to_dense() if one.is_sparse else one for one in gradients]
        assert dense[0].any() and torch.equal(dense[0], dense[1]), name


def test_a_layers_moments_begin_at_its_own_first_step(tiny: dict[str, Any], tmp_path: Path) -> None:
    """As torch's AdamW counts steps by parameter: the first move is the rate times the sign."""
    chosen = thawing(tiny, 1, 1, 2, train__lr=1e-3, train__max_grad_norm=None)
    training = started(chosen, tmp_path)
    steps = training.plan.epoch(0)
    for rows in steps:
        training.step(rows)
    lower = training.trainable["encoder.layers.0.inner.weight"]
    upper = training.trainable["encoder.layers.1.inner.weight"]
    before = lower.detach().clone()
    assert lower not in training.optimizer.adamw.state
    training.step(training.plan.epoch(1)[0])
    assert training.optimizer.adamw.state[lower]["step"] == 1
    assert training.optimizer.adamw.state[upper]["step"] == len(steps) + 1
    assert lower.grad is not None
    expected = before - 1e-3 * lower.grad / (lower.grad.abs() + 1e-6)
    torch.testing.assert_close(lower.detach(), expected, rtol=0, atol=1e-7)


# --- beside other methods


def test_the_average_follows_a_layer_from_the_first_step_on(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    """It is the mean over all steps, by weight; while the layer is frozen, its loaded weights."""
    training = started(thawing(tiny, 1, 1, 2, train__ema=0.8), tmp_path)
    name = "encoder.layers.0.inner.weight"
    path = []
    for epoch in range(2):
        for rows in training.plan.epoch(epoch):
            training.step(rows)
            path.append(training.trainable[name].detach().clone())
        if epoch == 0:
            with training.average.in_place():
                torch.testing.assert_close(training.trainable[name].detach(), path[0])
    shares = 0.8 ** torch.arange(len(path)).flip(0).float()
    expected = (shares[:, None, None] * torch.stack(path)).sum(0) / shares.sum()
    assert not torch.equal(path[-1], path[0])
    with training.average.in_place():
        torch.testing.assert_close(training.trainable[name].detach(), expected)


def test_the_teacher_of_smart_follows_a_layer_once_it_trains(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    training = started(thawing(tiny, 1, 1, 2, smart={"lambda_s": 0.0}), tmp_path)
    assert isinstance(training.penalty, SmartPenalty) and training.penalty.teacher is not None
    name = "encoder.layers.0.inner.weight"
    taught, own = training.penalty.teacher.get_parameter(name), training.trainable[name]
    loaded = own.detach().clone()
    for epoch, trains in enumerate([False, True]):
        for rows in training.plan.epoch(epoch):
            training.step(rows)
        assert torch.equal(taught, loaded) != trains
        assert torch.equal(taught, own) != trains


def test_rates_by_depth_do_not_change_when_a_layer_thaws(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    factors = []
    for chosen in (
        thawing(tiny, 0, 1, 4, train__layer_decay=0.5),
        config(tiny, train__layer_decay=0.5),
    ):
        model = started(chosen, tmp_path).model
        factors.append(rate_factors(model, chosen.train))
    assert factors[0] == factors[1]
    assert factors[0]["encoder.words.weight"] == 0.25
