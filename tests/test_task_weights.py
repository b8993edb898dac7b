"""Rules of the tasks' weights: values worked by hand, laws, what runs and their records say."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mtl.config.sections import Train
from mtl.config.settings import config_from
from mtl.config.task_weights import WeightRule
from mtl.methods.dwa import DynamicWeightAverage, weights_of
from mtl.methods.registry import WEIGHINGS, make_weighing
from mtl.methods.uncertainty import Uncertainty
from mtl.methods.weighing import Fixed, Weighing
from mtl.report.document import Paragraph, Table
from mtl.report.sections.weight_reasons import weight_blocks
from mtl.training.loop import train
from mtl.training.optim import Optimizer
from tests.training_tools import (
    comparable,
    config,
    content,
    killed_before_its_evaluation,
    losses,
    started,
    trained_with_stops,
)

CPU = torch.device("cpu")
TASKS = ("sst", "quora")


def of(*values: float) -> dict[str, torch.Tensor]:
    return {task: torch.tensor(value) for task, value in zip(TASKS, values, strict=False)}


def numbers(weighing: Weighing) -> list[float]:
    return [float(weight) for weight in weighing.weights().values()]


# --- values worked by hand


def test_dwa_weighs_by_the_ratio_of_the_last_two_means() -> None:
    weighing = DynamicWeightAverage(TASKS, epoch_steps=2, device=CPU)
    for step, values in enumerate([(4.0, 1.0), (2.0, 3.0), (1.0, 2.0), (2.0, 2.0)]):
        assert numbers(weighing) == [1, 1]
        weighing.after_step(of(*values), step)
    # Means 3, 2 and then 1.5, 2: ratios 1/2 and 1, weights 2 softmax(1/4, 1/2).
    first = 2 * math.exp(0.25) / (math.exp(0.25) + math.exp(0.5))
    assert numbers(weighing) == pytest.approx([first, 2 - first])


def test_an_epoch_without_a_task_counts_as_a_ratio_of_1() -> None:
    weighing = DynamicWeightAverage(TASKS, epoch_steps=1, device=CPU)
    weighing.after_step(of(1.0), 0)
    weighing.after_step(of(0.5, 7.0), 1)
    first = 2 * math.exp(0.25) / (math.exp(0.25) + math.exp(0.5))
    assert numbers(weighing) == pytest.approx([first, 2 - first])
    assert weights_of(torch.tensor([math.inf, math.nan])).tolist() == [1, 1]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=6))
def test_the_weights_of_dwa_sum_to_the_number_of_tasks(ratios: list[float]) -> None:
    weights = weights_of(torch.tensor(ratios, dtype=torch.float64))
    assert float(weights.sum()) == pytest.approx(len(ratios))
    order = sorted(range(len(ratios)), key=ratios.__getitem__)
    assert sorted(weights.tolist()) == [float(weights[place]) for place in order]


def test_uncertainty_begins_at_a_half_and_its_first_step_has_the_length_of_the_rate() -> None:
    weighing = Uncertainty(TASKS, 0.25, epoch_steps=9, device=CPU)
    assert numbers(weighing) == [0.5, 0.5]
    weighing.after_step(of(3.0, 0.5), 0)  # gradients (1 - 3) / 2 and (1 - 0.5) / 2; Adam's signs
    assert numbers(weighing) == pytest.approx([math.exp(-0.25) / 2, math.exp(0.25) / 2])


@pytest.mark.parametrize("loss", [0.1, 1.0, 7.0])
def test_a_learned_weight_settles_at_half_the_inverse_of_a_steady_loss(loss: float) -> None:
    weighing = Uncertainty(TASKS, 0.05, epoch_steps=9, device=CPU)
    for step in range(600):
        weighing.after_step(of(loss), step)
    weight, untouched = numbers(weighing)
    assert weight == pytest.approx(1 / (2 * loss), rel=1e-2)
    assert untouched == 0.5  # its task was in no step


def test_s_moves_as_autograd_and_adam_move_it_on_the_published_loss() -> None:
    """An independent oracle: the published loss, differentiated by torch."""
    weighing = Uncertainty(TASKS, 0.03, epoch_steps=9, device=CPU)
    s = [nn.Parameter(torch.zeros(())) for _ in TASKS]
    adam = torch.optim.Adam(s, lr=0.03)
    for step in range(50):
        values = [1 + math.sin(step) / 2, 0.3 + step / 50]
        values = values if step % 3 else values[:1]
        adam.zero_grad()
        sum(
            torch.exp(-at) * loss / 2 + at / 2 for at, loss in zip(s, values, strict=False)
        ).backward()  # type: ignore[union-attr]
        adam.step()
        weighing.after_step(of(*values), step)
    assert numbers(weighing) == pytest.approx([math.exp(-at.item()) / 2 for at in s], rel=1e-5)


@pytest.mark.parametrize("rule", sorted(WEIGHINGS))
def test_the_log_has_the_losses_without_weights(rule: str) -> None:
    words = ["tasks=sst,quora", "schedule=consolidated"]
    words.append("task_weights.sst=3" if rule == "fixed" else f"task_weights={rule}")
    weighing = make_weighing(config_from(words), 1, CPU)
    for step in range(4):
        weighing.after_step(of(2.0 - step / 3, 1.0), step)
    heavy = weighing.weigh(of(2.0, 0.7))
    assert float(heavy["sst"]) != 2.0
    assert [float(loss) for loss in weighing.plain(heavy).values()] == pytest.approx([2.0, 0.7])


def test_every_rule_that_a_config_can_name_is_registered_and_no_other() -> None:
    assert WEIGHINGS.keys() == set(get_args(WeightRule))


# --- where a weight cannot act


def moved(weight: float, limit: float | None, steps: int) -> float:
    """Where AdamW takes x, from 0.5, on steps of x² and of `weight` times (x - 1)² in turn."""
    x = nn.Parameter(torch.tensor([0.5]))
    optimizer = Optimizer({"x": x}, Train(max_grad_norm=limit))
    for step in range(steps):
        optimizer.zero_grad()
        loss = weight * (x - 1) ** 2 if step % 2 else x**2
        loss.sum().backward()
        optimizer.step(1e-3)
    return float(x.detach())


def test_with_one_task_a_step_clipping_divides_a_weight_out_and_adamw_does_not() -> None:
    assert moved(3.0, None, 3000) == pytest.approx(0.75, abs=0.02)  # the weighted mean of 0 and 1
    assert moved(3.0, 1e-2, 300) == pytest.approx(moved(1.0, 1e-2, 300), abs=1e-5)
    assert moved(3.0, None, 300) > moved(1.0, None, 300) + 0.05


# --- runs


def test_dwa_is_the_plain_run_for_two_epochs_and_then_is_not(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    changes = {"train__epochs": 3, "schedule": "consolidated", "train__max_grad_norm": None}
    plain = train(config(tiny, **changes), runs=tmp_path)
    dwa = train(config(tiny, task_weights="dwa", **changes), runs=tmp_path)
    lines = [losses(tmp_path / run.run_id) for run in (plain, dwa)]
    two = 2 * plain.steps // 3
    assert lines[0][:two] == lines[1][:two]
    assert lines[0][two:] != lines[1][two:]
    assert plain.diagnostics.task_weights is None
    found = dwa.diagnostics.task_weights
    assert found is not None and (found.rule, found.idle) == ("dwa", None)
    for weight in found.tasks.values():
        assert weight.per_epoch[:2] == [1, 1]
        assert weight.per_epoch[2] in (weight.lowest, weight.highest)


def test_dwas_means_are_those_of_the_log(tiny: dict[str, Any], tmp_path: Path) -> None:
    run = train(config(tiny, train__epochs=3, task_weights="dwa"), runs=tmp_path)
    lines, epoch = losses(tmp_path / run.run_id), run.steps // 3
    means = [
        {
            task: sum(values) / len(values)
            for task in run.config["tasks"]
            for values in [[line["loss"][task] for line in part if task in line["loss"]]]
        }
        for part in (lines[:epoch], lines[epoch : 2 * epoch])
    ]
    powers = {task: math.exp(means[1][task] / means[0][task] / 2) for task in means[0]}
    found = run.diagnostics.task_weights
    assert found is not None
    for task, power in powers.items():
        expected = len(powers) * power / sum(powers.values())
        assert found.tasks[task].per_epoch[2] == pytest.approx(expected, rel=1e-4)


def test_uncertainty_changes_a_run_and_the_record_has_its_path(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    base = {"schedule": "consolidated", "train__epochs": 2, "train__max_grad_norm": None}
    plain = train(config(tiny, **base), runs=tmp_path)
    chosen = config(tiny, task_weights="uncertainty", train__task_weights_lr=0.1, **base)
    learned = train(chosen, runs=tmp_path)
    slow = train(config(tiny, task_weights="uncertainty", **base), runs=tmp_path)
    lines = [losses(tmp_path / run.run_id) for run in (plain, learned, slow)]
    assert lines[0][0]["loss"] == pytest.approx(lines[1][0]["loss"])  # logged without weights
    assert lines[0][-1] != lines[1][-1] != lines[2][-1]
    found = learned.diagnostics.task_weights
    assert found is not None and found.rule == "uncertainty"
    assert set(found.clipped.values()) <= {0}
    assert found.tasks.keys() == set(learned.config["tasks"])
    for weight in found.tasks.values():
        assert len(weight.per_epoch) == 2
        assert weight.highest > weight.lowest > 0


def test_clipping_sees_the_models_gradient_only(tiny: dict[str, Any], tmp_path: Path) -> None:
    """The first weights are 1/2, so the logged norm is half that of plain training."""
    base = {"schedule": "consolidated", "train__max_steps": 1, "train__dropout": 0.0}
    plain = train(config(tiny, **base), runs=tmp_path)
    learned = train(config(tiny, task_weights="uncertainty", **base), runs=tmp_path)
    norms = [losses(tmp_path / run.run_id)[0]["grad_norm"] for run in (plain, learned)]
    assert norms[1] == pytest.approx(norms[0] / 2, rel=1e-4)


@pytest.mark.parametrize("rule", ["uncertainty", "dwa"])
@pytest.mark.parametrize("surgery", ["sum", "pcgrad"])
def test_a_resumed_run_equals_an_uninterrupted_one(
    tiny: dict[str, Any], tmp_path: Path, rule: str, surgery: str
) -> None:
    schedule = "pooled" if surgery == "sum" else "consolidated"
    chosen = config(tiny, task_weights=rule, train__epochs=4, surgery=surgery, schedule=schedule)
    whole = train(chosen, runs=tmp_path / "whole")
    record, stops = trained_with_stops(chosen, tmp_path / "stopped", every=3)
    assert stops >= 3
    assert comparable(record) == comparable(whole)
    assert content(tmp_path / "stopped" / record.run_id) == content(
        tmp_path / "whole" / whole.run_id
    )


@pytest.mark.parametrize("rule", ["uncertainty", "dwa"])
def test_a_run_that_dies_by_a_kill_resumes_with_its_weights(
    tiny: dict[str, Any], tmp_path: Path, rule: str
) -> None:
    chosen = config(tiny, task_weights=rule, train__epochs=3)
    whole = train(chosen, runs=tmp_path / "whole")
    killed_before_its_evaluation(chosen, tmp_path / "killed")
    assert comparable(train(chosen, runs=tmp_path / "killed")) == comparable(whole)


def test_the_state_of_other_tasks_is_refused() -> None:
    for make in (lambda tasks: Uncertainty(tasks, 0.1, 1, CPU),
                 lambda tasks: DynamicWeightAverage(tasks, 1, CPU)):  # fmt: skip
        weighing = make(TASKS)
        weighing.after_step(of(1.0, 2.0), 0)
        with pytest.raises((KeyError, ValueError)):
            make(("sst", "quora", "sts")).load(weighing.tensors())


def test_a_step_costs_what_it_did_without_weights(tiny: dict[str, Any], tmp_path: Path) -> None:
    """No weights and weights of 1 are the same arithmetic: the losses pass untouched."""
    assert isinstance(started(config(tiny), tmp_path).weighing, Fixed)
    given = of(1.5, 2.5)
    weighing = Fixed({})
    assert weighing.weigh(given)["sst"] is given["sst"]
    assert weighing.plain(given)["sst"] is given["sst"]
    assert weighing.tensors() == {}


# --- what the record says where a weight cannot act


def test_the_record_counts_the_steps_in_which_clipping_divides_a_weight_out(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    shares = []
    for limit in (1e-6, None):
        run = train(
            config(tiny, task_weights={"sst": 2.0}, train__max_grad_norm=limit), runs=tmp_path
        )
        found = run.diagnostics.task_weights
        assert found is not None
        assert found.clipped.keys() == set(run.config["tasks"])
        shares.append((found.rule, found.one_task, set(found.clipped.values())))
    assert shares == [("fixed", 1, {1}), ("fixed", 1, {0})]


def test_dwa_cut_before_its_third_epoch_says_that_it_did_nothing(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    run = train(
        config(tiny, task_weights="dwa", train__epochs=3, train__max_steps=3), runs=tmp_path
    )
    found = run.diagnostics.task_weights
    assert found is not None and found.idle is not None
    assert "third epoch" in found.idle


def test_a_report_has_the_weights_and_where_they_could_not_act(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    changes = {"train__epochs": 3, "train__max_grad_norm": 1e-6}
    dwa = train(config(tiny, task_weights="dwa", **changes), runs=tmp_path)
    cut = train(config(tiny, task_weights="dwa", train__max_steps=2, **changes), runs=tmp_path)
    plain = train(config(tiny, **changes), runs=tmp_path)
    blocks = weight_blocks({"dwa": [dwa], "cut": [cut], "plain": [plain]})
    assert isinstance(blocks[0], Table)
    rows = [[cell.text for cell in row] for row in blocks[0].rows]
    assert {row[0] for row in rows} == {"dwa", "cut"}
    assert rows[0][2:4] == ["dwa", "1"] and rows[0][-1] == "100 %"
    assert isinstance(blocks[1], Paragraph) and blocks[1].text.startswith("cut: dwa weighs")
    assert weight_blocks({"plain": [plain]}) == []


def test_the_record_of_a_run_that_diverged_can_be_written(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    chosen = config(tiny, task_weights="uncertainty", train__lr=1e18, train__max_grad_norm=None)
    assert train(chosen, runs=tmp_path).status == "diverged"
