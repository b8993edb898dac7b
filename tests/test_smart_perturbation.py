"""SMART's divergences and its adversarial perturbation R_s: laws, and values worked by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, kl_divergence

from mtl.methods.perturbation import largest, owners
from mtl.methods.smart import SmartPenalty
from mtl.model.batch import Batch, make_batch
from mtl.model.encoder import Encoder
from mtl.model.losses import divergence
from mtl.tasks.registry import TASKS
from tests.smart_tools import pairings, smart


def with_settings(penalty: SmartPenalty, **changes: Any) -> SmartPenalty:
    penalty.settings = penalty.settings.model_copy(update=changes)
    return penalty


# --- the divergences


def test_the_divergences_have_the_values_worked_by_hand() -> None:
    p, q = torch.tensor([[0.5, 0.25, 0.25]]).log(), torch.tensor([[0.25, 0.5, 0.25]]).log()
    assert divergence("classes", p, q).item() == pytest.approx(0.5 * math.log(2), rel=1e-6)
    three, even = torch.tensor([math.log(3)]), torch.tensor([0.0])  # 0.75 against 0.5
    assert divergence("binary", three, even).item() == pytest.approx(0.25 * math.log(3), rel=1e-6)
    assert divergence("score", torch.tensor([4.0]), torch.tensor([1.5])).item() == 6.25


def test_the_divergences_are_the_symmetric_kl_of_torch_distributions() -> None:
    draw = torch.Generator().manual_seed(0)
    one, two = (torch.randn(50, 5, generator=draw, dtype=torch.float64) * 3 for _ in range(2))
    p, q = Categorical(logits=one), Categorical(logits=two)
    assert torch.allclose(
        divergence("classes", one, two), kl_divergence(p, q) + kl_divergence(q, p)
    )
    a, b = Bernoulli(logits=one[:, 0]), Bernoulli(logits=two[:, 0])
    assert torch.allclose(
        divergence("binary", one[:, 0], two[:, 0]), kl_divergence(a, b) + kl_divergence(b, a)
    )


@pytest.mark.parametrize("kind", ["classes", "binary", "score"])
def test_a_divergence_is_symmetric_zero_at_equality_and_survives_small_differences(
    kind: Any,
) -> None:
    draw = torch.Generator().manual_seed(1)
    shape = (20, 5) if kind == "classes" else (20,)
    one = torch.randn(shape, generator=draw, dtype=torch.float64).float().double()
    other = (one + 1e-3 * torch.randn(shape, generator=draw, dtype=torch.float64)).float().double()
    exact = divergence(kind, one, other)
    assert (exact > 0).all()
    assert torch.equal(exact, divergence(kind, other, one))
    assert torch.equal(divergence(kind, one, one.clone()), torch.zeros(20, dtype=torch.float64))
    assert torch.allclose(divergence(kind, one.float(), other.float()).double(), exact, rtol=0.02)


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [("binary", (4,), (4, 1)), ("score", (4,), (4, 1)), ("score", (4, 1), (4, 1)),
     ("binary", (4, 1), (4, 1)), ("classes", (5,), (5,)), ("classes", (4, 5), (4, 1))],
)  # fmt: skip
def test_shapes_that_would_broadcast_are_refused(
    kind: Any, one: tuple[int, ...], other: tuple[int, ...]
) -> None:
    with pytest.raises(AssertionError):
        divergence(kind, torch.zeros(one), torch.zeros(other))


# --- R_s


@pairings
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_r_s_goes_to_0_with_epsilon(
    tiny: dict[str, Any], tmp_path: Path, pairing: dict[str, Any], dropout: float
) -> None:
    _, penalty, batch = smart(tiny, tmp_path, **pairing, train__dropout=dropout)
    torch.manual_seed(0)
    clean = penalty.clean_pass(batch)
    found = []
    for epsilon in (1e-1, 1e-2, 1e-3, 1e-4):
        with_settings(penalty, epsilon=epsilon, sigma=epsilon / 10, eta=10 * epsilon)
        noise = penalty.find_noise(batch, clean, 0)
        found.append(
            {
                task: float(r.detach())
                for task, r in penalty.smoothness(batch, clean, noise.values).items()
            }
        )
    for task in TASKS:
        values = [one[task] for one in found]
        # Ten times less noise, a hundred times less divergence: it is quadratic.
        assert all(
            0.005 * large < small < 0.02 * large
            for large, small in zip(values, values[1:], strict=False)
        ), (
            task,
            values,
        )


@pairings
def test_the_adversarial_direction_raises_the_divergence_more_than_random_ones_of_the_same_size(
    tiny: dict[str, Any], tmp_path: Path, pairing: dict[str, Any]
) -> None:
    _, penalty, batch = smart(
        tiny, tmp_path, **pairing, smart={"epsilon": 1e-2, "sigma": 1e-3, "eta": 10.0}
    )
    clean = penalty.clean_pass(batch)
    noise = penalty.find_noise(batch, clean, 0).values
    found = penalty.smoothness(batch, clean, noise)
    draw = torch.Generator().manual_seed(0)
    rivals = []
    for _ in range(20):
        signs = torch.randn(noise.shape, generator=draw, dtype=noise.dtype).sign()
        rivals.append(penalty.smoothness(batch, clean, signs * noise.abs()))
    for task, value in found.items():
        assert value > max(rival[task] for rival in rivals), task


@pairings
def test_more_steps_find_a_larger_change(
    tiny: dict[str, Any], tmp_path: Path, pairing: dict[str, Any]
) -> None:
    _, penalty, batch = smart(
        tiny, tmp_path, **pairing, smart={"epsilon": 1e-2, "sigma": 1e-3, "eta": 1e-2}
    )
    clean = penalty.clean_pass(batch)
    found = []
    for steps in (0, 1, 5):
        noise = with_settings(penalty, steps=steps).find_noise(batch, clean, 0)
        found.append(
            sum(float(r.detach()) for r in penalty.smoothness(batch, clean, noise.values).values())
        )
    assert found[0] < found[1] < found[2]


def test_clip_keeps_every_element_within_epsilon_and_normalise_makes_the_largest_one_1(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    _, penalty, batch = smart(tiny, tmp_path)
    clean = penalty.clean_pass(batch)
    clipped = penalty.find_noise(batch, clean, 0).values
    assert clipped.abs().max() == 1e-5
    owner, sequences = owners(batch.packed), batch.packed.sequences
    normalised = with_settings(penalty, projection="normalise").find_noise(batch, clean, 0).values
    assert torch.allclose(largest(normalised, owner, sequences), torch.ones(1, dtype=torch.float64))


def test_owners_name_the_sequence_of_each_token(tiny: dict[str, Any], tmp_path: Path) -> None:
    _, _, batch = smart(tiny, tmp_path)
    lengths = batch.packed.lengths.tolist()
    assert owners(batch.packed).tolist() == [
        number for number, length in enumerate(lengths) for _ in range(length)
    ]
    assert sum(part.tokens for part in batch.parts) == batch.packed.tokens


def test_there_is_no_padding_to_perturb_and_a_sequences_noise_changes_no_other_output(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    training, penalty, batch = smart(tiny, tmp_path)
    clean = penalty.clean_pass(batch)
    noise = penalty.find_noise(batch, clean, 0).values
    assert noise.shape == (batch.packed.tokens, training.model.encoder.config.width)
    assert len(set(batch.packed.lengths.tolist())) > 1  # padded, this batch would have padding
    for sequence in (0, 7, batch.packed.sequences - 1):
        alone = torch.where((owners(batch.packed) == sequence)[:, None], 0.5, 0.0).double()
        vectors = training.model.vectors(batch, clean.embedded + alone)
        changed = [not torch.equal(a, b) for a, b in zip(vectors, clean.vectors, strict=True)]
        assert changed == [number == sequence for number in range(batch.packed.sequences)]


def test_noise_does_not_depend_on_what_else_is_in_the_batch(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    training, penalty, batch = smart(tiny, tmp_path)
    together = penalty.find_noise(batch, penalty.clean_pass(batch), 3).values.split(
        [part.tokens for part in batch.parts]
    )
    for task, expected in zip(TASKS, together, strict=True):
        alone = make_batch(
            training.prepared.train, {task: np.arange(5)}, training.prepared.pairer, training.device
        )
        found = penalty.find_noise(alone, penalty.clean_pass(alone), 3).values
        assert torch.allclose(found, expected, rtol=1e-6, atol=1e-12), task


@pairings
def test_each_side_of_a_pair_ascends_with_the_other_side_clean(
    tiny: dict[str, Any], tmp_path: Path, pairing: dict[str, Any]
) -> None:
    """The gradient is that of l_s(f(x~, y), f(x, y)) for x, and of l_s(f(x, y~), f(x, y)) for y."""
    training, penalty, batch = smart(tiny, tmp_path, **pairing)
    clean = penalty.clean_pass(batch)
    embedded = clean.embedded.detach()
    noise = (
        torch.randn(
            embedded.shape, dtype=embedded.dtype, generator=torch.Generator().manual_seed(0)
        )
        * 0.1
    )
    found = penalty.ascent_gradient(batch, clean, embedded + noise)
    side_of_token = side_of(batch)[owners(batch.packed)][:, None]
    for side in range(int(side_of_token.max()) + 1):
        here = (side_of_token == side).double()
        noisy = (embedded + noise * here).requires_grad_()
        outputs = training.model.outputs(batch, training.model.vectors(batch, noisy))
        total = sum(
            divergence(
                TASKS[part.task].kind, outputs[part.task], clean.outputs[part.task].detach()
            ).sum()
            for part in batch.parts
            if side < part.vectors
        )
        assert isinstance(total, Tensor)
        (expected,) = torch.autograd.grad(total, noisy)
        assert torch.allclose(found * here, expected * here, atol=1e-12)
        assert (found * here).abs().max() > 0


def side_of(batch: Batch) -> Tensor:
    """0 for sequences that stand first in their row, 1 for the second ones."""
    return torch.cat([torch.arange(part.sequences) // part.rows for part in batch.parts])


@pytest.mark.parametrize(("mu", "passes"), [(0.0, 3), (1.0, 4)])
def test_a_step_runs_the_encoder_once_clean_once_to_ascend_once_for_r_s_and_once_for_the_teacher(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mu: float, passes: int
) -> None:
    _, penalty, batch = smart(tiny, tmp_path, smart={"mu": mu})
    seen: list[int] = []
    run = Encoder.run

    def counted(encoder: Encoder, hidden: Tensor, *rest: Any, **named: Any) -> Tensor:
        seen.append(hidden.shape[0])
        return run(encoder, hidden, *rest, **named)

    monkeypatch.setattr(Encoder, "run", counted)
    penalty.forward(batch, 0)
    assert seen == [batch.packed.tokens] * passes


def test_an_example_whose_inner_gradient_is_not_finite_is_skipped_and_counted(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, penalty, batch = smart(tiny, tmp_path)
    clean = penalty.clean_pass(batch)
    expected = penalty.find_noise(batch, clean, 0).values
    ascent = penalty.ascent_gradient
    victim = 6  # quora's row 1, which is sequences 6 and 11 after the 5 sequences of sst

    def poisoned(*given: Any) -> Tensor:
        gradient = ascent(*given)
        gradient[(owners(batch.packed) == victim).nonzero()[1], 3] = math.inf
        return gradient

    monkeypatch.setattr(penalty, "ascent_gradient", poisoned)
    noise = penalty.find_noise(batch, clean, 0)
    assert noise.skipped.nonzero().ravel().tolist() == [6, 11]
    gone = noise.skipped[owners(batch.packed)][:, None]
    assert torch.equal(noise.values, expected.masked_fill(gone, 0.0))
    _, penalties = penalty.forward(batch, 0)
    assert all(value.isfinite() for value in penalties.values())
    summary: dict[str, Any] = {}
    line = penalty.report(0, summary)["smart"]
    assert {task: line[task]["skipped"] for task in TASKS} == {"sst": 0, "quora": 1, "sts": 0}
