"""`rdrop`: two passes under two dropout masks, the mean of their losses, and their distance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal, kl_divergence
from torch.nn import functional as F

from mtl.data.schedules import Step
from mtl.methods.rdrop import RDrop, distance
from mtl.model.batch import Batch, make_batch
from mtl.tasks.registry import TASKS
from mtl.training.micro_batches import split
from mtl.training.run import Training
from tests.smart_tools import batch_of
from tests.training_tools import config, started

NAMES = ("sst", "quora", "sts")
TOGETHER = {"schedule": "consolidated", "train__batch_size": 12}


# --- the formula


def test_the_distance_of_classes_is_the_mean_of_torchs_two_divergences() -> None:
    first, second = torch.randn(2, 7, 5, dtype=torch.float64)
    p, q = first.log_softmax(1), second.log_softmax(1)
    both = [
        F.kl_div(one, other, reduction="none", log_target=True).sum(1)
        for one, other in ((q, p), (p, q))
    ]
    assert torch.allclose(distance("classes", first, second), (both[0] + both[1]) / 2)


def test_the_distance_of_a_logit_is_that_of_two_bernoullis() -> None:
    first, second = 3 * torch.randn(2, 50, dtype=torch.float64)
    one, other = Bernoulli(logits=first), Bernoulli(logits=second)
    expected = (kl_divergence(one, other) + kl_divergence(other, one)) / 2
    assert torch.allclose(distance("binary", first, second), expected)


def test_the_distance_of_scores_is_to_the_squared_error_as_kl_is_to_the_likelihood() -> None:
    first, second, labels = torch.randn(3, 50, dtype=torch.float64)
    one, other = Normal(first, 1.0), Normal(second, 1.0)
    apart = (kl_divergence(one, other) + kl_divergence(other, one)) / 2
    assert torch.allclose(distance("score", first, second), 2 * apart)
    beyond = -one.log_prob(labels) + Normal(labels, 1.0).log_prob(labels)
    assert torch.allclose((first - labels) ** 2, 2 * beyond), "the loss is twice that too"


def test_values_worked_by_hand() -> None:
    log = np.log
    classes = torch.tensor([[0.5, 0.25, 0.25]]).log(), torch.tensor([[0.25, 0.25, 0.5]]).log()
    assert distance("classes", *classes).item() == pytest.approx(0.25 * log(2))
    binary = torch.tensor([0.0]), torch.tensor([3.0]).log()  # p = 1/2 and 3/4
    assert distance("binary", *binary).item() == pytest.approx(log(3) / 8)
    assert distance("score", torch.tensor([4.0]), torch.tensor([1.5])).item() == 6.25


# --- the loss of a step


def loss_by_hand(
    batch: Batch, first: dict[str, Tensor], second: dict[str, Tensor], alpha: float
) -> dict[str, Tensor]:
    """The published loss by task, halved, with the divergence written out over probabilities."""
    found = {}
    for part in batch.parts:
        one, two, labels = first[part.task], second[part.task], part.labels
        kind = TASKS[part.task].kind
        if kind == "score":
            terms = ((one - labels) ** 2 + (two - labels) ** 2) / 2 + alpha * (one - two) ** 2
            found[part.task] = terms.mean()
            continue
        if kind == "binary":  # two classes, the first with a logit of 0
            one, two = (torch.stack([torch.zeros_like(of), of], 1) for of in (one, two))
        p, q = one.softmax(1), two.softmax(1)
        row = torch.arange(part.rows), labels.long()
        apart = (p * (p / q).log() + q * (q / p).log()).sum(1)
        terms = (-p[row].log() - q[row].log() + alpha * apart) / 2
        found[part.task] = terms.mean()
    return found


def gradients(training: Training, loss: Tensor) -> list[Tensor]:
    grads = torch.autograd.grad(loss, list(training.trainable.values()), allow_unused=True)
    return [
        torch.zeros(1) if grad is None else (grad.to_dense() if grad.is_sparse else grad)
        for grad in grads
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pairing": "concat"},
        {"heads": {"sst": "linear", "quora": "features", "sts": "cosine"}, "pooling": "mean"},
        {"freeze__unfrozen": 1},
        {"freeze": {"unfrozen": 1, "dropout": True}},
        {"lora": {}},
        {"task_weights": {"sts": 3.0}},
    ],
    ids=str,
)
def test_losses_and_gradients_are_those_of_the_formula_under_the_same_masks(
    tiny: dict[str, Any], tmp_path: Path, changes: dict[str, Any]
) -> None:
    alpha = 0.7
    training = started(config(tiny, rdrop=alpha, **changes), tmp_path)
    rows = {task: np.arange(5) for task in NAMES}
    torch.manual_seed(3)
    found = training.stepper.losses(rows)
    torch.manual_seed(3)
    batch = batch_of(training)
    first, second = (training.model(batch, 0.1) for _ in range(2))
    expected = loss_by_hand(batch, first, second, alpha)
    expected = {task: training.config.task_weights.of(task) * expected[task] for task in NAMES}
    for task in NAMES:
        assert not torch.equal(first[task], second[task]), "the masks differ"
        assert found[task].item() == pytest.approx(expected[task].item(), rel=1e-5)
    own = gradients(training, torch.stack(list(found.values())).sum())
    by_hand = gradients(training, torch.stack(list(expected.values())).sum())
    for one, two in zip(own, by_hand, strict=True):
        assert torch.allclose(one, two, rtol=1e-3, atol=1e-5)


def test_the_first_pass_has_the_masks_of_plain_training(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    plain, own = (started(config(tiny, **TOGETHER, rdrop=alpha), tmp_path) for alpha in (None, 0.5))
    torch.manual_seed(1)
    expected = plain.model(batch_of(plain), 0.1)
    torch.manual_seed(1)
    (outputs, _), penalties = own.penalty.forward(batch_of(own), 0)
    assert penalties.keys() == expected.keys() == set(NAMES)
    assert all(torch.equal(outputs[task], expected[task]) for task in NAMES)


def test_a_small_alpha_leaves_the_mean_loss_of_the_two_passes(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    plain = started(config(tiny), tmp_path)
    own = started(config(tiny, rdrop=1e-12), tmp_path)
    rows = {task: np.arange(5) for task in NAMES}
    torch.manual_seed(1)
    two = [plain.stepper.losses(rows) for _ in range(2)]
    torch.manual_seed(1)
    found = own.stepper.losses(rows)
    for task in NAMES:
        mean = (two[0][task].item() + two[1][task].item()) / 2
        assert found[task].item() == pytest.approx(mean, rel=1e-5)


def test_without_dropout_the_penalty_is_nothing(tiny: dict[str, Any], tmp_path: Path) -> None:
    training = started(config(tiny, rdrop=5.0), tmp_path)
    still = RDrop(training.model, alpha=5.0, probability=0.0)
    _, penalties = still.forward(batch_of(training), 0)
    assert [penalty.item() for penalty in penalties.values()] == [0.0, 0.0, 0.0]


def test_micro_batches_add_up_to_the_formula_over_all_rows(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    """Masks are drawn part by part, so the whole batch is put together from the parts' outputs."""
    training = started(config(tiny, rdrop=0.5), tmp_path)
    rows: Step = {"sst": np.arange(5), "quora": np.arange(4)}
    parts = split([rows], 2)
    torch.manual_seed(2)
    own = [training.stepper.losses(part, rows) for part in parts]
    torch.manual_seed(2)
    passes: list[dict[str, list[Tensor]]] = [{task: [] for task in rows} for _ in range(2)]
    for part in parts:
        batch = whole_of(training, part)
        for outputs in passes:
            for task, output in training.model(batch, 0.1).items():
                outputs[task].append(output)
    first, second = ({task: torch.cat(of) for task, of in outputs.items()} for outputs in passes)
    expected = loss_by_hand(whole_of(training, rows), first, second, 0.5)
    for task in rows:
        total = sum(losses[task].item() for losses in own)
        assert total == pytest.approx(expected[task].item(), rel=1e-5)


def whole_of(training: Training, rows: Step) -> Batch:
    return make_batch(training.prepared.train, rows, training.prepared.pairer, training.device)


def test_under_surgery_each_tasks_gradient_has_its_penalty(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    changes: dict[str, Any] = {**TOGETHER, "surgery": "pcgrad", "train__max_grad_norm": None}
    training = started(config(tiny, rdrop=4.0, **changes), tmp_path)
    rows = training.plan.epoch(0)[0]
    torch.manual_seed(5)
    norms = {}
    for task in rows:  # surgery runs the tasks one after another, each in a pass of its own
        batch = whole_of(training, {task: rows[task]})
        first, second = (training.model(batch, 0.1) for _ in range(2))
        loss = loss_by_hand(batch, first, second, 4.0)[task]
        backbone = [value for value in training.model.backbone() if value.requires_grad]
        grads = torch.autograd.grad(loss, backbone, allow_unused=True)
        norms[task] = float(
            sum(
                grad.coalesce().values().square().sum() if grad.is_sparse else grad.square().sum()
                for grad in grads
                if grad is not None
            )
            ** 0.5
        )
    torch.manual_seed(5)
    training.step(rows)
    line = training.log.pending[0].surgery
    assert line is not None
    assert line["norm"] == pytest.approx(norms, rel=1e-4)
