"""SMART: laws of its two terms, values worked by hand, and gradients against finite differences in float64."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, kl_divergence

from mtl.config.schema import RunConfig
from mtl.config.sections import Smart
from mtl.config.settings import config_from
from mtl.errors import ConfigError
from mtl.methods.perturbation import largest, owners
from mtl.methods.smart import SmartPenalty
from mtl.model.encoder import Encoder
from mtl.model.losses import divergence
from mtl.model.multitask import Batch, make_batch
from mtl.runs.folder import RunFolder
from mtl.tasks.registry import TASKS
from mtl.training.loop import Training, train
from mtl.training.outcome import frozen_unchanged
from tests.test_training import config, losses, started

PAIRINGS = [
    {"pairing": "siamese", "heads": {"quora": "dot", "sts": "cosine"}},
    {"pairing": "siamese", "heads": {"quora": "features", "sts": "features"}},
    {"pairing": "concat", "heads": {"quora": "linear", "sts": "mlp"}},
]
pairings = pytest.mark.parametrize("pairing", PAIRINGS, ids=["siamese", "features", "concat"])


def smart(
    tiny: dict[str, Any], tmp_path: Path, **changes: Any
) -> tuple[Training, SmartPenalty, Batch]:
    """A run with SMART on in float64, and a batch of five rows of every task."""
    changes = {"smart": {}, "train__dropout": 0.0, "schedule": "consolidated"} | changes
    training = started(config(tiny, **changes), tmp_path)
    penalty = training.penalty
    assert isinstance(penalty, SmartPenalty)
    training.model.double()
    if penalty.teacher is not None:
        penalty.teacher.double()
    return training, penalty, batch_of(training)


def batch_of(training: Training, rows: int = 5) -> Batch:
    step = {task: np.arange(rows) for task in training.config.tasks}
    return make_batch(training.prepared.train, step, training.prepared.pairer, training.device)


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


ROUNDING = 1e-24
"""The square of what float64 rounds: on some machines two equal products differ in the last bit, as memory happens to lie."""


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
    [("binary", (4,), (4, 1)), ("score", (4,), (4, 1)), ("score", (4, 1), (4, 1)), ("binary", (4, 1), (4, 1)),
     ("classes", (5,), (5,)), ("classes", (4, 5), (4, 1))],
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
    clean = penalty.clean(batch)
    found = []
    for epsilon in (1e-1, 1e-2, 1e-3, 1e-4):
        with_settings(penalty, epsilon=epsilon, sigma=epsilon / 10, eta=10 * epsilon)
        noise = penalty.noise(batch, clean, 0)
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
    clean = penalty.clean(batch)
    noise = penalty.noise(batch, clean, 0).values
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
    clean = penalty.clean(batch)
    found = []
    for steps in (0, 1, 5):
        noise = with_settings(penalty, steps=steps).noise(batch, clean, 0)
        found.append(
            sum(float(r.detach()) for r in penalty.smoothness(batch, clean, noise.values).values())
        )
    assert found[0] < found[1] < found[2]


def test_clip_keeps_every_element_within_epsilon_and_normalise_makes_the_largest_one_1(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    _, penalty, batch = smart(tiny, tmp_path)
    clean = penalty.clean(batch)
    clipped = penalty.noise(batch, clean, 0).values
    assert clipped.abs().max() == 1e-5
    owner, sequences = owners(batch.packed), batch.packed.sequences
    normalised = with_settings(penalty, projection="normalise").noise(batch, clean, 0).values
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
    clean = penalty.clean(batch)
    noise = penalty.noise(batch, clean, 0).values
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
    together = penalty.noise(batch, penalty.clean(batch), 3).values.split(
        [part.tokens for part in batch.parts]
    )
    for task, expected in zip(TASKS, together, strict=True):
        alone = make_batch(
            training.prepared.train, {task: np.arange(5)}, training.prepared.pairer, training.device
        )
        found = penalty.noise(alone, penalty.clean(alone), 3).values
        assert torch.allclose(found, expected, rtol=1e-6, atol=1e-12), task


@pairings
def test_each_side_of_a_pair_ascends_with_the_other_side_clean(
    tiny: dict[str, Any], tmp_path: Path, pairing: dict[str, Any]
) -> None:
    """The inner gradient is that of l_s(f(x~, y), f(x, y)) for x and of l_s(f(x, y~), f(x, y)) for y, each run alone."""
    training, penalty, batch = smart(tiny, tmp_path, **pairing)
    clean = penalty.clean(batch)
    embedded = clean.embedded.detach()
    noise = (
        torch.randn(
            embedded.shape, dtype=embedded.dtype, generator=torch.Generator().manual_seed(0)
        )
        * 0.1
    )
    found = penalty.ascent(batch, clean, embedded + noise)
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
    clean = penalty.clean(batch)
    expected = penalty.noise(batch, clean, 0).values
    ascent = penalty.ascent
    victim = 6  # after 5 sst sequences come quora's first sides, then its second ones: row 1, and so sequences 6 and 11

    def poisoned(*given: Any) -> Tensor:
        gradient = ascent(*given)
        gradient[(owners(batch.packed) == victim).nonzero()[1], 3] = math.inf
        return gradient

    monkeypatch.setattr(penalty, "ascent", poisoned)
    noise = penalty.noise(batch, clean, 0)
    assert noise.skipped.nonzero().ravel().tolist() == [6, 11]
    gone = noise.skipped[owners(batch.packed)][:, None]
    assert torch.equal(noise.values, expected.masked_fill(gone, 0.0))
    _, penalties = penalty.forward(batch, 0)
    assert all(value.isfinite() for value in penalties.values())
    summary: dict[str, Any] = {}
    line = penalty.report(0, summary)["smart"]
    assert {task: line[task]["skipped"] for task in TASKS} == {"sst": 0, "quora": 1, "sts": 0}


# --- dropout


def test_with_the_clean_pass_masks_the_floor_is_0_and_training_draws_as_without_smart(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    training, penalty, batch = smart(
        tiny, tmp_path, heads={"quora": "features", "sts": "features"}, train__dropout=0.1
    )
    torch.manual_seed(0)
    plain = training.model(batch, 0.1)
    after = torch.get_rng_state()
    torch.manual_seed(0)
    outputs, _ = penalty.forward(batch, 0)
    assert torch.equal(torch.get_rng_state(), after)
    assert all(torch.equal(outputs[task], plain[task]) for task in TASKS)
    clean = penalty.clean(batch)
    floor = penalty.floor(batch, clean, torch.get_rng_state())
    assert floor.keys() == TASKS.keys()
    assert all(float(value) < ROUNDING for value in floor.values()), floor


def test_with_masks_of_its_own_r_s_has_a_floor_that_dwarfs_a_small_epsilon_and_measuring_it_changes_nothing(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    _, penalty, batch = smart(
        tiny, tmp_path, train__dropout=0.1, smart={"dropout": True, "sigma": 1e-8}
    )
    states = []
    for step in (10, 11):  # the floor is measured at the first only
        torch.manual_seed(0)
        penalty.forward(batch, step)
        states.append(torch.get_rng_state())
    assert torch.equal(*states)
    measured, not_measured = (penalty.report(step, {})["smart"] for step in (10, 11))
    for task in TASKS:
        assert measured[task]["floor"] > 0
        assert measured[task]["r_s"] == pytest.approx(measured[task]["floor"], rel=0.01)
        assert "floor" not in not_measured[task]


# --- D_Breg and its teacher


@pairings
def test_d_breg_is_0_at_step_0_and_not_after_a_step(
    tiny: dict[str, Any], tmp_path: Path, pairing: dict[str, Any]
) -> None:
    training, penalty, batch = smart(tiny, tmp_path, **pairing)
    assert all(value < ROUNDING for value in penalty.distance(batch, penalty.clean(batch)).values())
    training.step(training.epoch(0)[0])
    assert all(value > ROUNDING for value in penalty.distance(batch, penalty.clean(batch)).values())


def test_the_teacher_is_an_average_worked_by_hand(tiny: dict[str, Any], tmp_path: Path) -> None:
    training, penalty, _ = smart(tiny, tmp_path)
    assert penalty.teacher is not None
    ours, theirs = (
        dict(model.named_parameters())["heads.sst.out.bias"]
        for model in (training.model, penalty.teacher)
    )
    with torch.no_grad():
        theirs.fill_(1.0)
        ours.fill_(2.0)
    # 20 steps: the first tenth is steps 0 and 1, with beta 0.99; then 0.999.
    for step, expected in enumerate([1.01, 1.0199, 1.0199 + 0.001 * 0.9801]):
        penalty.stepped(step, 20)
        assert theirs.tolist() == pytest.approx([expected] * 5, abs=1e-12)
    assert ours.tolist() == [2.0] * 5


def test_gradients_never_move_the_teacher(tiny: dict[str, Any], tmp_path: Path) -> None:
    training, penalty, _ = smart(tiny, tmp_path, freeze__unfrozen=1, smart={"beta": 1.0})
    assert penalty.teacher is not None
    before = {name: value.clone() for name, value in penalty.teacher.named_parameters()}
    for rows in training.epoch(0):
        training.step(rows)
        assert all(
            value.grad is None and not value.requires_grad for value in penalty.teacher.parameters()
        )
    assert all(
        torch.equal(value, before[name]) for name, value in penalty.teacher.named_parameters()
    )
    own = {
        name
        for name, value in penalty.teacher.named_parameters()
        if value is not training.model.get_parameter(name)
    }
    assert own == training.model.trainable().keys()  # frozen tensors are shared, the others cloned


def test_without_mu_there_is_no_teacher(tiny: dict[str, Any], tmp_path: Path) -> None:
    _, penalty, _ = smart(tiny, tmp_path, smart={"mu": 0.0})
    assert penalty.teacher is None
    assert penalty.tensors() == {}


# --- gradients against finite differences


def finite_difference(training: Training, term: Any, seed: int) -> tuple[float, float]:
    """The term's directional derivative along a random direction of all trainable weights: autograd's, and measured."""
    draw = torch.Generator().manual_seed(seed)
    weights = list(training.trainable.values())
    direction = [torch.randn(value.shape, generator=draw, dtype=value.dtype) for value in weights]
    training.optimizer.zero_grad()
    term().backward()
    ours = sum(
        float((value.grad.to_dense() * way).sum())
        for value, way in zip(weights, direction, strict=True)
        if value.grad is not None
    )

    def at(length: float) -> float:
        with torch.no_grad():
            for value, way in zip(weights, direction, strict=True):
                value.add_(way, alpha=length)
            found = float(term().detach())
            for value, way in zip(weights, direction, strict=True):
                value.sub_(way, alpha=length)
        return found

    h = 1e-6
    return ours, (at(h) - at(-h)) / (2 * h)


@pairings
@pytest.mark.parametrize("freeze", [{}, {"unfrozen": 1}], ids=["all", "1 unfrozen"])
@pytest.mark.parametrize("name", ["r_s", "d_breg"])
@pytest.mark.parametrize("task", list(TASKS))
def test_each_terms_gradient_is_the_one_measured(
    tiny: dict[str, Any],
    tmp_path: Path,
    pairing: dict[str, Any],
    freeze: dict[str, Any],
    name: str,
    task: Any,
) -> None:
    training, penalty, batch = smart(tiny, tmp_path, **pairing, freeze=freeze, train__dropout=0.1)
    assert penalty.teacher is not None
    torch.manual_seed(3)
    state = torch.get_rng_state()
    noise = (
        torch.randn(
            batch.packed.tokens, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64
        )
        * 0.1
    )
    with torch.no_grad():
        for value in penalty.teacher.parameters():
            if not any(value is mine for mine in training.model.parameters()):
                value.mul_(0.9)

    def term() -> Tensor:
        torch.set_rng_state(state)
        clean = penalty.clean(batch)
        found = (
            penalty.smoothness(batch, clean, noise)
            if name == "r_s"
            else penalty.distance(batch, clean)
        )
        return found[task]

    for seed in range(3):
        ours, measured = finite_difference(training, term, seed)
        assert abs(ours) > 1e-6
        assert ours == pytest.approx(measured, rel=1e-4)


@pytest.mark.parametrize("freeze", [{}, {"unfrozen": 0}], ids=["all", "none unfrozen"])
def test_the_inner_gradient_is_the_one_measured_and_fills_no_parameters_gradient(
    tiny: dict[str, Any], tmp_path: Path, freeze: dict[str, Any]
) -> None:
    training, penalty, batch = smart(tiny, tmp_path, tasks=["sst"], freeze=freeze)
    clean = penalty.clean(batch)
    draw = torch.Generator().manual_seed(0)
    noisy = clean.embedded.detach() + 0.1 * torch.randn(
        clean.embedded.shape, generator=draw, dtype=torch.float64
    )
    way = torch.randn(noisy.shape, generator=draw, dtype=torch.float64)
    ours = float((penalty.ascent(batch, clean, noisy.clone()) * way).sum())
    assert all(value.grad is None for value in training.model.parameters())

    def at(length: float) -> float:
        outputs = training.model.outputs(batch, training.model.vectors(batch, noisy + length * way))
        return float(divergence("classes", outputs["sst"], clean.outputs["sst"]).sum().detach())

    assert ours == pytest.approx((at(1e-6) - at(-1e-6)) / 2e-6, rel=1e-5)


# --- in a run


def test_smart_without_weights_is_the_run_without_smart_bit_for_bit(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    plain, other = (started(config(tiny), tmp_path) for _ in range(2))
    off = Smart(lambda_s=0.0, mu=0.0)
    other.penalty = SmartPenalty(other.model, off, probability=other.config.train.dropout, seed=0)
    for training in (plain, other):
        torch.manual_seed(0)
        for rows in training.epoch(0):
            training.step(rows)
    for one, two in zip(plain.pending, other.pending, strict=True):
        assert one.losses == two.losses
        assert torch.equal(one.norm, two.norm)


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": "consolidated"},
        {"schedule": "consolidated", "freeze": {"unfrozen": 1, "scope": ["sts"], "dropout": True}},
        {"pairing": "concat", "pooling": "mean", "freeze__unfrozen": 0},
        {"heads": {"sst": "linear", "quora": "features", "sts": "cosine"}, "pooling": "max"},
        {"tasks": ["sts"], "smart": {"steps": 3, "projection": "normalise"}},
        {"train__precision": "bf16", "smart": {"dropout": True, "projection": "normalise"}},
    ],
    ids=str,
)
def test_smart_goes_with_everything_and_the_record_says_what_it_did(
    tiny: dict[str, Any], tmp_path: Path, changes: dict[str, Any]
) -> None:
    record = train(config(tiny, **{"smart": {}, **changes}), runs=tmp_path)
    assert record.status == "done"
    found = {task: part.as_json() for task, part in (record.diagnostics.smart or {}).items()}
    assert found.keys() == set(record.config["tasks"])
    lines = losses(tmp_path / record.run_id)
    for task, means in found.items():
        assert means.keys() == {"r_s", "d_breg", "floor", "ratio", "largest", "skipped"}
        assert means["skipped"] == 0
        for quantity in ("r_s", "d_breg", "floor", "ratio", "largest"):
            seen = [
                line["smart"][task][quantity]
                for line in lines
                if quantity in line["smart"].get(task, {})
            ]
            assert means[quantity] == pytest.approx(sum(seen) / len(seen), abs=1e-15)
    normalised = record.config["smart"]["projection"] == "normalise"
    for means in found.values():
        assert means["largest"] == pytest.approx(1.0 if normalised else 1e-5, rel=0.01)
        assert means["r_s"] >= 0
        assert means["ratio"] < (2.0 if normalised else 1e-4)


def test_without_smart_the_record_and_the_log_say_nothing_of_it(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    record = train(config(tiny), runs=tmp_path)
    assert record.diagnostics.smart is None
    assert all("smart" not in line for line in RunFolder(tmp_path / record.run_id).history())


def test_the_loss_of_a_step_is_the_tasks_loss_with_both_terms(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    settings = {"lambda_s": 3.0, "mu": 2.0, "projection": "normalise"}
    plain = started(config(tiny, schedule="consolidated"), tmp_path)
    with_terms = started(config(tiny, schedule="consolidated", smart=settings), tmp_path)
    with torch.no_grad():
        assert isinstance(with_terms.penalty, SmartPenalty)
        assert with_terms.penalty.teacher is not None
        for value in with_terms.penalty.teacher.parameters():
            value.mul_(0.9)
    rows = plain.epoch(0)[0]
    for training in (plain, with_terms):
        torch.manual_seed(0)
        training.step(rows)
    alone, whole = plain.pending[0].losses, with_terms.pending[0].losses
    terms = with_terms.penalty.report(0, {})["smart"]
    for task in rows:
        expected = float(alone[task]) + 3 * terms[task]["r_s"] + 2 * terms[task]["d_breg"]
        assert terms[task]["r_s"] > 0
        assert terms[task]["d_breg"] > 0
        assert float(whole[task]) == pytest.approx(expected, rel=1e-5)


def test_frozen_bytes_stay_under_smart(tiny: dict[str, Any], tmp_path: Path) -> None:
    training = started(
        config(tiny, freeze__unfrozen=1, train__weight_decay=0.1, smart={}), tmp_path
    )
    for rows in training.epoch(0):
        training.step(rows)
    assert frozen_unchanged(training.model, training.prepared.pretrained) is True


def test_a_scoped_step_under_smart_leaves_the_frozen_part_without_gradient(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    freeze = {"unfrozen": 1, "scope": ["sts"]}
    training = started(config(tiny, freeze=freeze, train__weight_decay=0.1, smart={}), tmp_path)
    frozen = training.model.encoder.frozen_parameters(1)
    steps = training.epoch(0)
    training.step(next(step for step in steps if "sts" not in step))
    before = [value.clone() for value in frozen]
    for rows in [step for step in steps if "sts" in step]:
        training.step(rows)
        assert all(value.grad is None for value in frozen)
    assert all(torch.equal(value, old) for value, old in zip(frozen, before, strict=True))


# --- settings


def test_an_empty_mapping_turns_smart_on_with_the_published_values() -> None:
    assert RunConfig().smart is None
    expected = Smart(
        lambda_s=1,
        mu=1,
        epsilon=1e-5,
        sigma=1e-5,
        eta=1e-3,
        steps=1,
        projection="clip",
        dropout=False,
    )
    assert config_from(["smart={}"]).smart == expected
    assert config_from(["smart.lambda_s=3"]).smart == expected.model_copy(update={"lambda_s": 3.0})
    assert config_from(["smart={}", "smart=null"]).smart is None
    assert config_from(["smart.beta=0.5"]).smart == expected.model_copy(update={"beta": (0.5, 0.5)})


@pytest.mark.parametrize(
    "words", [["smart=on"], ["smart=true"], ["smart.epsilon=1e-4", "smart=null"]], ids=str
)
def test_an_error_about_smart_names_the_way_out(words: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"smart=\{\}"):
        config_from(words)


@pytest.mark.parametrize(
    "word",
    ["smart.lambda_s=-1", "smart.mu=-1", "smart.epsilon=0", "smart.sigma=0", "smart.eta=0", "smart.steps=-1",
     "smart.projection=l2", "smart.beta=1.1", "smart.beta=[0.9]", "smart.beta=[0.9, 0.9, 0.9]", "smart.epsilom=1"],
)  # fmt: skip
def test_a_value_out_of_bounds_is_refused_with_its_key(word: str) -> None:
    with pytest.raises(
        ConfigError, match=word.partition("=")[0].replace("epsilom", "unknown key|epsilom")
    ):
        config_from([word])
