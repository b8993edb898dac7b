"""Losses: values worked by hand, independent oracles, laws, and what runs and records say."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from mtl.ablation.design import expand
from mtl.config.losses import Losses, loss_words
from mtl.config.settings import config_from
from mtl.data.load import load_rows
from mtl.errors import ConfigError
from mtl.inference.trained import label_scale, load_trained
from mtl.methods.class_weights import balanced
from mtl.methods.mnrl import belongs, in_batch_softmax
from mtl.methods.task_loss import LOSSES, TaskLoss
from mtl.methods.toggles import methods_of, sources_of
from mtl.model.losses import task_loss
from mtl.report.document import Table
from mtl.report.sections.loss_reasons import QUANTITIES, loss_blocks
from mtl.runs.folder import RunFolder
from mtl.study.leave_one_out import leave_one_out
from mtl.tasks.metrics import Predictions
from mtl.tasks.registry import TASKS
from mtl.training.loop import train
from tests.design_tools import cell, cell_of
from tests.test_study_spaces import read
from tests.training_tools import comparable, config, trained_with_stops

LABELS = {
    "sst": np.array([0, 1, 1, 2, 3, 4, 4, 4], dtype=float),
    "quora": np.array([0, 0, 0, 1], dtype=float),
    "sts": np.array([0.0, 1.5, 1.5, 5.0]),
}
GRADES = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0])


def loss(word: str, task: str, **values: float) -> TaskLoss:
    return LOSSES[word](TASKS[task], Losses.model_validate(values), LABELS[task])


def drawn(task: str, rows: int = 12, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Outputs and labels of a task, drawn at random."""
    torch.manual_seed(seed)
    if task == "sst":
        return torch.randn(rows, 5), torch.randint(0, 5, (rows,)).float()
    labels = torch.randint(0, 2, (rows,)).float() if task == "quora" else 5 * torch.rand(rows)
    return torch.randn(rows), labels


# --- values worked by hand


def test_smoothing_of_one_logit() -> None:
    # p = 3/4 for a true 1; targets 0.95 and 0.05.
    value = loss("label_smoothing", "quora").of_outputs(torch.tensor([math.log(3)]), torch.ones(1))
    assert value.item() == pytest.approx(-0.95 * math.log(0.75) - 0.05 * math.log(0.25))


def test_focal_of_one_logit_and_of_classes() -> None:
    expected = -((1 - 0.75) ** 2) * math.log(0.75)
    value = loss("focal", "quora").of_outputs(torch.tensor([math.log(3)]), torch.ones(1))
    assert value.item() == pytest.approx(expected)
    logits = torch.tensor([[math.log(12), 0.0, 0.0, 0.0, 0.0]])  # p of the first class = 3/4
    value = loss("focal", "sst").of_outputs(logits, torch.zeros(1))
    assert value.item() == pytest.approx(expected, rel=1e-5)


def test_weights_of_classes_are_in_inverse_proportion_to_their_rows() -> None:
    assert balanced(LABELS["quora"], 2).tolist() == pytest.approx([4 / 6, 4 / 2])
    assert balanced(np.array([0, 0, 2]), 3).tolist() == pytest.approx([3 / 4, 0, 3 / 2])
    value = loss("class_weights", "quora").of_outputs(torch.zeros(2), torch.tensor([0.0, 1.0]))
    assert value.item() == pytest.approx((4 / 6 + 4 / 2) / 2 * math.log(2))


def test_a_grade_near_the_true_one_costs_less_than_one_far_off() -> None:
    ordinal = loss("ordinal", "sst")
    costs = [
        ordinal.of_outputs(4 * F.one_hot(torch.tensor([chosen]), 5).float(), torch.ones(1)).item()
        for chosen in range(5)
    ]
    assert costs[1] < costs[0] == costs[2] < costs[3] < costs[4]
    # Uniform outputs: log 5 whatever the targets.
    assert ordinal.of_outputs(torch.zeros(1, 5), torch.ones(1)).item() == pytest.approx(math.log(5))


def test_cosent_of_three_rows() -> None:
    # Similarities 0.5, 0.2, 0.2 with labels 1, 2, 2: two unequal pairs, each 0.3 too high.
    outputs, labels = torch.tensor([2.5, 1.0, 1.0]), torch.tensor([1.0, 2.0, 2.0])
    value = loss("cosent", "sts").of_outputs(outputs, labels)
    assert value.item() == pytest.approx(math.log(1 + 2 * math.exp(20 * 0.3)))
    measured = loss("cosent", "sts").measure(outputs, labels)
    assert measured["compared"].item() == pytest.approx(2 / 3)
    assert measured["wrong"].item() == 1


def test_ranking_leaves_known_positives_out() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(3, 4), torch.randn(3, 4)
    sentences = np.array([[1, 2], [1, 3], [4, 5]])  # the first two share a sentence
    cosines = F.cosine_similarity(first[:, None], second[None], dim=2).exp()
    expected = [
        -math.log(cosines[0, 0] / (cosines[0, 0] + cosines[0, 2])),
        -math.log(cosines[1, 1] / (cosines[1, 1] + cosines[1, 2])),
        -math.log(cosines[2, 2] / cosines[2].sum()),
    ]
    known = torch.from_numpy(belongs(sentences))
    value = in_batch_softmax(first, second, 1.0, known)
    assert value.item() == pytest.approx(np.mean(expected), rel=1e-5)


# --- independent oracles


def test_torchs_own_losses() -> None:
    outputs, labels = drawn("sst")
    ours = loss("label_smoothing", "sst", smoothing=0.2).of_outputs(outputs, labels)
    assert ours == F.cross_entropy(outputs, labels.long(), label_smoothing=0.2)
    weights = torch.from_numpy(balanced(LABELS["sst"], 5)).float()
    ours = loss("class_weights", "sst").of_outputs(outputs, labels)
    summed = F.cross_entropy(outputs, labels.long(), weights, reduction="sum")
    torch.testing.assert_close(ours, summed / len(labels))
    targets = torch.stack([(-((GRADES - label) ** 2)).softmax(0) for label in labels])
    distance = F.kl_div(outputs.log_softmax(1), targets, reduction="batchmean")
    entropy = torch.distributions.Categorical(targets).entropy().mean()
    torch.testing.assert_close(
        loss("ordinal", "sst").of_outputs(outputs, labels), distance + entropy
    )


@pytest.mark.parametrize("scale", [20.0, 3.0])
def test_sentence_transformers_losses(scale: float) -> None:
    libraries = pytest.importorskip("sentence_transformers.sentence_transformer.losses")

    class Given(torch.nn.Module):
        """A model whose sentence vectors are given."""

        def forward(self, vectors: Any) -> dict[str, Tensor]:
            return {"sentence_embedding": vectors}

    torch.manual_seed(1)
    first, second = torch.randn(9, 6), torch.randn(9, 6)
    labels = torch.tensor([0, 1, 1, 2, 2.5, 3, 4, 5, 5])
    theirs = libraries.CoSENTLoss(Given(), scale=scale)([first, second], labels)
    ours = loss("cosent", "sts", scale=scale)
    torch.testing.assert_close(
        ours.of_outputs(5 * F.cosine_similarity(first, second), labels), theirs
    )
    theirs = libraries.MultipleNegativesRankingLoss(Given(), scale=scale)([first, second], None)
    torch.testing.assert_close(in_batch_softmax(first, second, scale), theirs)


# --- laws


@pytest.mark.parametrize("task", TASKS)
def test_every_word_of_a_task_has_a_loss_and_the_default_is_the_tasks_own(task: str) -> None:
    outputs, labels = drawn(task)
    for word in loss_words(TASKS[task]):
        value = loss(word, task).of_outputs(outputs, labels)
        assert value.ndim == 0 and value.dtype == torch.float32 and value.isfinite()
    plain = loss(TASKS[task].loss, task).of_outputs(outputs, labels)
    assert plain == task_loss(TASKS[task].kind, outputs, labels)


@pytest.mark.parametrize("task", ["sst", "quora"])
def test_a_loss_tends_to_the_plain_one(task: str) -> None:
    outputs, labels = drawn(task)
    plain = task_loss(TASKS[task].kind, outputs, labels)
    for word, values in (("label_smoothing", {"smoothing": 1e-7}), ("focal", {"gamma": 1e-7})):
        near = loss(word, task, **values).of_outputs(outputs, labels)
        torch.testing.assert_close(near, plain)
    once = np.arange(len(TASKS[task].class_names), dtype=float)
    even = LOSSES["class_weights"](TASKS[task], Losses(), once)
    torch.testing.assert_close(even.of_outputs(outputs, labels), plain)


@pytest.mark.parametrize(
    ("task", "word"),
    [("sst", word) for word in ("label_smoothing", "focal", "class_weights", "ordinal")]
    + [("quora", word) for word in ("label_smoothing", "focal", "class_weights")],
)
def test_parts_of_a_batch_add_up_by_their_shares(task: str, word: str) -> None:
    outputs, labels = drawn(task)
    made = loss(word, task)
    parts = [made.of_outputs(outputs[part], labels[part]) for part in (slice(0, 4), slice(4, 12))]
    torch.testing.assert_close(
        parts[0] * 4 / 12 + parts[1] * 8 / 12, made.of_outputs(outputs, labels)
    )


@pytest.mark.parametrize("gamma", [0.5, 2.0])
@pytest.mark.parametrize("size", [1.0, 40.0, 200.0])
def test_focal_has_a_finite_gradient_where_probabilities_round(gamma: float, size: float) -> None:
    outputs = torch.tensor([size, -size], requires_grad=True)
    loss("focal", "quora", gamma=gamma).of_outputs(outputs, torch.ones(2)).backward()
    assert outputs.grad is not None and outputs.grad.isfinite().all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([0.0, 1.0, 2.5, 5.0]), min_size=1, max_size=6), st.integers(0, 99))
def test_cosent_does_not_depend_on_the_order_of_rows_nor_on_a_shift(
    labels: list[float], seed: int
) -> None:
    torch.manual_seed(seed)
    outputs, gold = torch.randn(len(labels), requires_grad=True), torch.tensor(labels)
    made, order = loss("cosent", "sts"), torch.randperm(len(labels))
    value = made.of_outputs(outputs, gold)
    torch.testing.assert_close(made.of_outputs(outputs[order], gold[order]), value)
    torch.testing.assert_close(made.of_outputs(outputs + 1, gold), value, rtol=1e-4, atol=1e-5)
    value.backward()
    if len(set(labels)) == 1:
        assert value == 0 and (outputs.grad == 0).all()


def test_one_positive_pair_is_not_ranked() -> None:
    vectors = torch.randn(1, 4, requires_grad=True)
    value = in_batch_softmax(vectors, vectors, 20.0)
    value.backward()
    assert value == 0 and vectors.grad is not None and (vectors.grad == 0).all()


def test_scores_are_put_on_the_scale_of_labels_but_never_turned_round() -> None:
    gold = np.array([1.0, 2.0, 3.0])

    def scale(*outputs: float) -> tuple[float, float]:
        column = np.array(outputs, dtype=np.float32)[:, None]
        return label_scale(
            Predictions(task="sts", split="dev", ids=["a", "b", "c"], gold=gold, outputs=column)
        )

    assert scale(-1, 0, 1) == pytest.approx((1, 2))
    assert scale(1, 0, -1) == scale(2, 2, 2) == (1, 0)


# --- runs

ALL = {"losses": {"sst": "ordinal", "quora": "mnrl", "sts": "cosent"}}


@pytest.mark.parametrize(
    "others",
    [{}, {"surgery": "pcgrad", "schedule": "joint"}, {"smart": {}}, {"rdrop": 1.0}],
    ids=str,
)
def test_losses_change_a_run_and_say_what_they_acted_on(
    others: dict[str, Any], tiny: dict[str, Any], tmp_path: Path
) -> None:
    plain = train(config(tiny, **others), runs=tmp_path)
    record = train(config(tiny, **others, **ALL), runs=tmp_path)
    assert record.status == "done" and record.metrics != plain.metrics
    acted = record.diagnostics.losses
    assert acted is not None and plain.diagnostics.losses is None
    assert acted["sst"].keys() == {"plain", "distance"}
    assert acted["quora"].keys() == {"plain", "positives", "contrast"}
    assert acted["sts"].keys() == {"compared", "wrong"} and 0 < acted["sts"]["compared"] <= 1


def test_the_report_says_what_losses_acted_on(tiny: dict[str, Any], tmp_path: Path) -> None:
    arms = {
        name: [train(config(tiny, **changes, train__max_steps=8), runs=tmp_path)]
        for name, changes in {"plain": {}, "all": ALL}.items()
    }
    (block,) = loss_blocks(arms)
    assert isinstance(block, Table)
    rows = [[cell.text for cell in row] for row in block.rows]
    assert {tuple(row[:3]) for row in rows} == {
        ("all", "sst", "ordinal"), ("all", "quora", "mnrl"), ("all", "sts", "cosent"),
    }  # fmt: skip
    assert all(row[3] in QUANTITIES.values() for row in rows)
    assert loss_blocks({"plain": arms["plain"]}) == []


def test_a_stopped_run_goes_on_bit_for_bit(tiny: dict[str, Any], tmp_path: Path) -> None:
    wanted = config(tiny, **ALL, schedule="joint")
    whole = train(wanted, runs=tmp_path / "whole")
    stopped, stops = trained_with_stops(wanted, tmp_path / "stopped", every=3)
    assert stops and comparable(stopped) == comparable(whole)


def test_predictions_of_a_loss_of_order_are_on_the_scale_of_labels(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    wanted = config(tiny, losses={"sts": "cosent"}, heads={"sts": "cosine"}, train__lr=1e-3)
    folder = RunFolder(tmp_path / train(wanted, runs=tmp_path).run_id)
    kept = folder.predictions("dev", "sts")
    slope, start = label_scale(kept)
    rows = load_rows(wanted.data, ("sts",), ("dev",))["sts", "dev"]
    predicted = load_trained(folder, "cpu").predict(rows).outputs
    np.testing.assert_allclose(predicted, slope * kept.outputs + start, rtol=1e-4, atol=1e-4)
    assert rows.labels is not None and slope != 1
    assert predicted.mean() == pytest.approx(rows.labels.mean(), abs=0.01)


def test_negative_cosines_count_for_a_loss_of_order(tiny: dict[str, Any], tmp_path: Path) -> None:
    words: dict[str, Any] = {"tasks": ["sts"], "heads": {"sts": "cosine"}}
    plain = train(config(tiny, **words), runs=tmp_path)
    ordered = train(config(tiny, **words, losses={"sts": "cosent"}), runs=tmp_path)
    assert "sts" in plain.diagnostics.dead_examples_per_epoch
    assert ordered.diagnostics.dead_examples_per_epoch == {}


# --- settings


def test_settings_without_a_loss_that_has_them_are_the_plain_run() -> None:
    assert config_from(["losses={gamma: 3}"]).canonical() == config_from([]).canonical()
    assert "losses" not in config_from(["losses.sst=cross_entropy"]).canonical()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["losses.sst=cosent"], "class_weights, ordinal, got 'cosent'"),
        (["losses.sst=3"], "got 3"),
        (["losses.sat=focal"], "losses.sat: unknown key"),
        (["losses.sts=cosent", "train.accumulate=2"], "Use train.accumulate=1, or losses.sts=mse"),
        (["losses.quora=mnrl", "train.batch_size=1"], "has one. Use a larger batch"),
        (["losses.quora=mnrl", "pairing=concat"], "Use pairing=siamese, or losses.quora=bce"),
        (["losses.gamma=0"], "greater than 0"),
        (["losses=focal"], "losses"),
    ],
)
def test_a_loss_that_cannot_be_is_refused_with_the_way_out(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_from(words).check()
    assert said in str(caught.value)


def test_grids_and_citations_know_losses() -> None:
    chosen = config_from(["losses.sts=cosent"])
    assert [source.title for source in sources_of([chosen])].count("CoSENT") == 1
    assert methods_of(chosen) != methods_of(config_from([]))
    arms = cell("losses.sts=cosent"), cell("losses.sts=mse"), cell()
    assert arms[0] != arms[1] == arms[2]


def test_a_studys_best_trial_is_taken_apart_by_its_losses() -> None:
    study = read(
        "  losses.sst: [cross_entropy, focal]\n  order:\n    none: {}\n"
        "    cosent: {losses: {sts: cosent}}\n"
    )
    grid = leave_one_out(study, {"losses.sst": "focal", "order": "cosent"}, [1])
    arms = {arm.name: arm for arm in expand(grid, cell_of).arms}
    assert {arm.cell for arm in arms.values()} >= {
        cell("losses.sst=focal", "losses.sts=cosent"),
        cell("losses.sst=focal"),
        cell("losses.sts=cosent"),
    }
