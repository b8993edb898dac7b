"""Studies by formula: trials are asked, told, pruned and counted, and a search beats luck."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.distributions import FloatDistribution

from mtl.errors import ConfigError
from mtl.runs.folder import RunFolder
from mtl.runs.prepare import Sources
from mtl.study.export import best_yaml
from mtl.study.importance import importances
from mtl.study.objectives import Objective, dominates
from mtl.study.storage import open_storage, silence_optuna
from tests.study_tools import SPACE, by_formula, make_study
from tests.study_trains import STEPS_AN_EPOCH, level, score


@pytest.fixture(scope="module")
def sources() -> Sources:
    return Sources()


def test_a_study_counts_its_trials_and_its_steps(
    tiny_data: Path, tmp_path: Path, sources: Sources
) -> None:
    study = make_study(tiny_data, budget={"trials": 20}, fresh=2)
    found, pool = by_formula(study, tmp_path, sources=sources)
    results = found.results
    assert len(results.counted) == 20
    best = results.best
    assert best is not None
    assert best.values[0] == max(one.values[0] for one in results.trials if one.values)
    config = study.make_space().plain(best.point)
    assert best.values[0] == pytest.approx(
        max(score(config, epoch) for epoch in range(1, 9)), abs=1e-12
    )
    fresh = 2 * 8 * STEPS_AN_EPOCH
    assert sum(one.steps for one in results.trials) == pool.steps - fresh
    pruned = [one for one in results.own if one.outcome == "pruned"]
    assert pruned
    assert all(one.steps < one.all_steps == 8 * STEPS_AN_EPOCH for one in pruned)
    assert all(one.steps == one.all_steps for one in results.own if one.outcome == "done")
    saved = 1 - sum(one.steps for one in results.own) / (len(results.own) * 8 * STEPS_AN_EPOCH)
    assert results.saved_share == pytest.approx(saved)
    assert results.pruned_share == len(pruned) / len(results.own)
    assert all(RunFolder(tmp_path / f"{one.cell}-s0").state() == "interrupted" for one in pruned)


def test_the_winner_is_scored_again_on_seeds_that_no_trial_had(
    tiny_data: Path, tmp_path: Path, sources: Sources
) -> None:
    study = make_study(tiny_data, budget={"trials": 8}, fresh=3, seeds=[2, 5])
    found, _ = by_formula(study, tmp_path, sources=sources)
    (fresh,) = found.results.fresh
    assert fresh.seeds == (6, 7, 8)
    best = found.results.best
    assert best is not None
    values = []
    for seed in fresh.seeds:
        record = RunFolder(tmp_path / f"{best.cell}-s{seed}").record()
        assert record is not None
        values.append(record.metrics["dev/overall"])
    mean = sum(values) / 3
    assert fresh.scores["dev/overall"].mean == pytest.approx(mean, abs=1e-12)
    sd = (sum((value - mean) ** 2 for value in values) / 2) ** 0.5
    assert fresh.scores["dev/overall"].sd == pytest.approx(sd, abs=1e-12)
    assert [len(one.by_seed["dev/overall"]) for one in found.results.trials if one.values] == [
        2
    ] * sum(bool(one.values) for one in found.results.trials)


def test_the_same_study_goes_on_with_a_larger_budget_and_trains_nothing_twice(
    tiny_data: Path, tmp_path: Path, sources: Sources
) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    small = make_study(tiny_data, budget={"trials": 6}, fresh=0)
    first, one = by_formula(small, tmp_path, storage=open_storage(url), sources=sources)
    again, two = by_formula(small, tmp_path, storage=open_storage(url), sources=sources)
    assert two.began == []
    before, after = first.results.as_json(), again.results.as_json()
    assert {**before, "seconds": 0} == {**after, "seconds": 0}
    larger = make_study(tiny_data, budget={"trials": 10}, fresh=0)
    more, three = by_formula(larger, tmp_path, storage=open_storage(url), sources=sources)
    assert len(more.results.counted) == 10
    assert not set(one.began) & set(three.began)
    assert [trial.point for trial in more.results.trials[:6]] == [
        trial.point for trial in first.results.trials
    ]


def test_a_study_that_would_mean_something_else_is_not_continued(
    tiny_data: Path, tmp_path: Path, sources: Sources
) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    by_formula(
        make_study(tiny_data, budget={"trials": 1}, fresh=0),
        tmp_path,
        storage=open_storage(url),
        sources=sources,
    )
    for other in (
        {"seeds": [1]},
        {"set": {"train.epochs": 7}},
        {"space": {**SPACE, "train.dropout": [0.0, 0.1]}},
    ):
        changed = make_study(tiny_data, budget={"trials": 2}, fresh=0, **other)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="--name small-2"):
            by_formula(changed, tmp_path, storage=open_storage(url), sources=sources)


def test_known_configs_go_first_and_are_not_pruned(
    tiny_data: Path, tmp_path: Path, sources: Sources
) -> None:
    bad = {"train.lr": 1e-6, "freeze.unfrozen": 0}
    good = {"train.lr": 1e-4, "pairing": "concat", "freeze.unfrozen": 2}
    space = {**SPACE, "freeze.unfrozen": ["all", 0, 1, 2]}
    study = make_study(
        tiny_data, space=space, budget={"trials": 12}, first=["baseline", good, bad], fresh=0
    )
    found, _ = by_formula(study, tmp_path, sources=sources)
    begin = found.results.trials[:3]
    assert [one.first for one in begin] == ["baseline",
                                            "train.lr=0.0001, pairing=concat, freeze.unfrozen=2",
                                            "train.lr=1e-06, freeze.unfrozen=0"]  # fmt: skip
    assert [one.outcome for one in begin] == ["done"] * 3
    assert begin[0].point == {"pairing": "siamese", "heads.sst": "mlp", "pooling": "pooler",
                              "freeze.unfrozen": "all", "train.lr": 1e-5}  # fmt: skip


def test_what_the_config_refuses_is_told_and_counts_for_nothing(
    tiny_data: Path, tmp_path: Path, sources: Sources
) -> None:
    space = {
        "surgery": ["sum", "dominant", "pcgrad"],
        "schedule": ["pooled", "consolidated"],
        "train.lr": SPACE["train.lr"],
    }
    study = make_study(tiny_data, space=space, budget={"trials": 6}, fresh=0, pruner="none")
    said: list[str] = []
    found, pool = by_formula(study, tmp_path, sources=sources, said=said)
    refused = [one for one in found.results.trials if one.outcome == "refused"]
    assert refused
    assert all("schedule=consolidated" in (one.reason or "") for one in refused)
    assert all(
        one.point["surgery"] != "sum" and one.point["schedule"] == "pooled" for one in refused
    )
    assert len(found.results.counted) == len(pool.began) == 6
    assert sum("not run:" in line for line in said) == len({one.reason for one in refused})


@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsga2", "random"])
def test_a_space_with_nothing_left_ends_the_study(
    sampler: str, tiny_data: Path, tmp_path: Path, sources: Sources
) -> None:
    """Each point is tried once, whatever the sampler draws; some points are refused."""
    space = {"surgery": ["sum", "dominant"], "schedule": ["pooled", "consolidated"]}
    study = make_study(
        tiny_data, space=space, budget={"trials": 12}, fresh=0, pruner="none", sampler=sampler
    )
    found, pool = by_formula(study, tmp_path, sources=sources)
    assert len(pool.began) == len(set(pool.began)) == 3
    assert found.stopped == "all 3 points have been tried"
    assert len(found.results.counted) == len(found.results.own) == 3


def test_a_run_that_is_there_costs_nothing(
    tiny_data: Path, tmp_path: Path, sources: Sources
) -> None:
    space = {"pairing": ["siamese", "concat"], "pooling": ["pooler", "mean"]}
    plain: dict[str, Any] = {"space": space, "budget": {"trials": 20}, "fresh": 0, "pruner": "none"}
    _, one = by_formula(make_study(tiny_data, **plain), tmp_path, sources=sources)
    found, two = by_formula(make_study(tiny_data, name="other", **plain), tmp_path, sources=sources)
    assert len(one.began) == 4
    assert two.began == []
    assert len(found.results.own) == 4


def test_several_objectives_have_a_front_that_nothing_beats(
    tiny_data: Path, tmp_path: Path, sources: Sources
) -> None:
    keys = ["dev/sst/accuracy", "dev/sts/pearson"]
    study = make_study(tiny_data, objective=keys, budget={"trials": 15}, fresh=1)
    assert study.pruner == "none"
    found, _ = by_formula(study, tmp_path, sources=sources)
    results = found.results
    assert results.best is None
    done = {one.number: one.values for one in results.trials if one.values}
    for number, values in done.items():
        beaten = any(
            all(a >= b for a, b in zip(other, values, strict=True)) and other != values
            for other in done.values()
        )
        assert beaten != (number in results.front) or values in [
            done[n] for n in results.front if n < number
        ]
    assert len(results.front) > 1
    assert len(results.fresh) >= min(5, len(results.front))
    assert {(one.objective, one.evaluator) for one in results.importances} == {
        (key, evaluator) for key in keys for evaluator in ("PED-ANOVA", "fANOVA")
    }
    with pytest.raises(ConfigError, match="--trial"):
        best_yaml(study, results)


def test_domination_by_hand() -> None:
    both = (
        Objective(key="dev/overall", direction="maximize"),
        Objective(key="seconds", direction="minimize"),
    )
    assert dominates((0.5, 10), (0.5, 11), both)
    assert not dominates((0.5, 10), (0.5, 10), both)
    assert not dominates((0.6, 12), (0.5, 11), both)


def test_importances_are_named_and_see_what_matters(
    tiny_data: Path, tmp_path: Path, sources: Sources
) -> None:
    study = make_study(tiny_data, budget={"trials": 40}, sampler="random", pruner="none", fresh=0)
    found, _ = by_formula(study, tmp_path, sources=sources)
    for one in found.results.importances:
        assert sum(one.shares.values()) == pytest.approx(1)
        assert max(one.shares, key=lambda name: one.shares[name]) == "train.lr"


@pytest.mark.parametrize("objective", ["dev/overall", "dev/sts/mean_squared_error"])
def test_ped_anova_says_what_makes_trials_good_and_not_what_makes_them_bad(
    tiny_data: Path, objective: str
) -> None:
    """Only the learning rate makes the best tenth, only the dropout the worst."""
    import optuna

    silence_optuna()
    space = {"train.lr": {"float": [1e-5, 1e-2]}, "train.dropout": {"float": [0.0, 0.9]}}
    definition = make_study(tiny_data, space=space, objective=objective)
    sign = definition.objectives[0].sign
    study = optuna.create_study(direction=definition.objectives[0].direction)
    draw = np.random.default_rng(0)
    kinds = {
        "train.lr": FloatDistribution(1e-5, 1e-2),
        "train.dropout": FloatDistribution(0.0, 0.9),
    }
    for _ in range(150):
        rate, dropout = draw.uniform(1e-5, 1e-2), draw.uniform(0.0, 0.9)
        value = sign * ((rate > 9e-3) - (dropout > 0.81) + 0.01 * draw.random())
        params = {"train.lr": rate, "train.dropout": dropout}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=kinds, value=value))
    shares = next(
        one.shares for one in importances(study, definition) if one.evaluator == "PED-ANOVA"
    )
    assert shares["train.lr"] > 0.9, shares


def test_only_pruned_trials_save_steps(tiny_data: Path, tmp_path: Path, sources: Sources) -> None:
    study = make_study(tiny_data, budget={"trials": 6}, pruner="none", fresh=0)
    results = by_formula(study, tmp_path, sources=sources)[0].results
    assert results.saved_share == 0
    diverged = results.trials[0].model_copy(
        update={"outcome": "diverged", "steps": 1, "all_steps": 1000}
    )
    assert results.model_copy(update={"trials": (diverged, *results.trials[1:])}).saved_share == 0


def test_parameters_come_and_go_with_their_condition(
    tiny_data: Path, tmp_path: Path, sources: Sources
) -> None:
    space = {
        "smart.lambda_s": {"float": [0.1, 10], "log": True, "when": "smart != null"},
        "smart": [None, {}],
        "depth": {
            "levels": {"shallow": {"freeze.unfrozen": 1}, "deep": {"freeze.unfrozen": "all"}}
        },
        "freeze.scope": {"choices": ["all", ["sts"]], "when": "depth == 'shallow'"},
    }
    study = make_study(tiny_data, space=space, budget={"trials": 25}, fresh=0)
    found, _ = by_formula(study, tmp_path, sources=sources)
    points = [one.point for one in found.results.trials]
    assert {"smart.lambda_s" in point for point in points} == {True, False}
    for point in points:
        assert ("smart.lambda_s" in point) == (point["smart"] == "{}")
        assert ("freeze.scope" in point) == (point["depth"] == "shallow")
    left_out = {one.evaluator: one.left_out for one in found.results.importances}
    assert set(left_out["fANOVA"]) == {"smart.lambda_s", "freeze.scope"}


def test_the_best_is_a_file_that_train_takes(
    tiny_data: Path, tmp_path: Path, sources: Sources
) -> None:
    from mtl.config.settings import config_from

    study = make_study(tiny_data, budget={"trials": 5}, fresh=0)
    found, _ = by_formula(study, tmp_path, sources=sources)
    path = tmp_path / "best.yaml"
    path.write_text(best_yaml(study, found.results))
    best = found.results.best
    assert best is not None
    assert sources.cell(config_from([str(path)])) == best.cell


def test_results_are_plain_and_complete(tiny_data: Path, tmp_path: Path, sources: Sources) -> None:
    study = make_study(tiny_data, budget={"trials": 6}, fresh=1)
    found, _ = by_formula(study, tmp_path, sources=sources)
    plain = json.loads(json.dumps(found.results.as_json(), allow_nan=False))
    best = found.results.best
    assert best is not None
    assert plain["best"] == best.number
    assert plain["trials"][best.number]["values"] == list(best.values)
    numbers = [number for number, _, _ in found.results.history()]
    bests = [best for _, _, best in found.results.history()]
    assert numbers == sorted(numbers)
    assert bests == sorted(bests)


def test_hours_are_counted_over_all_coordinators(
    tiny_data: Path, tmp_path: Path, sources: Sources
) -> None:
    import optuna

    storage = optuna.storages.InMemoryStorage()
    study = make_study(tiny_data, budget={"trials": 2}, fresh=0)
    by_formula(study, tmp_path, storage=storage, sources=sources)
    (kept,) = optuna.get_all_study_summaries(storage)
    loaded = optuna.load_study(study_name=kept.study_name, storage=storage)
    loaded.set_user_attr(
        "coordinator long ago", {"machine": "another", "lock": "", "began": 0.0, "beat": 7300.0}
    )
    more = make_study(tiny_data, budget={"trials": 9, "hours": 2}, fresh=0)
    found, pool = by_formula(more, tmp_path, storage=storage, sources=sources)
    assert pool.began == []
    assert found.stopped == "2 hours are spent"


@pytest.mark.timeout(120)
def test_tpe_with_pruning_beats_random_search_on_the_same_steps(
    tiny_data: Path, tmp_path: Path, sources: Sources
) -> None:
    """Over 20 seeds, on the formula's true level: search gains, and pruning saves."""
    gains, saved = [], []
    for number in range(20):
        plain: dict[str, Any] = {
            "fresh": 0,
            "set": {"train.max_steps": 1000 + number},
        }  # other cells, other draws
        tpe = make_study(tiny_data, name=f"tpe-{number}", budget={"trials": 30}, **plain)
        searched, pool = by_formula(tpe, tmp_path / "runs", sources=sources)
        trials = -(-pool.steps // (8 * STEPS_AN_EPOCH))
        drawn = make_study(
            tiny_data,
            name=f"random-{number}",
            budget={"trials": trials},
            sampler="random",
            pruner="none",
            **plain,
        )
        random, other = by_formula(drawn, tmp_path / "runs", sources=sources)
        assert other.steps >= pool.steps or len(random.results.own) < len(random.results.counted)
        assert searched.results.saved_share is not None
        saved.append(searched.results.saved_share)
        reached = []
        for study, found in ((tpe, searched), (drawn, random)):
            best = found.results.best
            assert best is not None
            reached.append(level(study.make_space().plain(best.point)))
        gains.append(reached[0] - reached[1])
    mean = sum(gains) / len(gains)
    sd = (sum((gain - mean) ** 2 for gain in gains) / (len(gains) - 1)) ** 0.5
    print(
        f"TPE with pruning - random: {mean:+.4f}, sd {sd:.4f} over 20; "
        f"better in {sum(gain > 0 for gain in gains)}"
    )
    print(f"steps saved by pruning: {sum(saved) / 20:.0%}, {min(saved):.0%} to {max(saved):.0%}")
    assert sum(saved) / 20 > 0.25
    assert mean > 2 * sd / len(gains) ** 0.5
    assert sum(gain > 0 for gain in gains) >= 14


@pytest.mark.parametrize("sampler", ["gp", "nsga2", "cmaes", "random"])
def test_every_sampler_searches_and_hyperband_prunes(
    sampler: str, tiny_data: Path, tmp_path: Path, sources: Sources
) -> None:
    study = make_study(
        tiny_data, budget={"trials": 14}, fresh=0, sampler=sampler, pruner="hyperband"
    )
    found, pool = by_formula(study, tmp_path, sources=sources)
    assert len(found.results.counted) == 14
    assert {one.outcome for one in found.results.own} == {"done", "pruned"}
    assert pool.steps == sum(one.steps for one in found.results.own) < 14 * 8 * STEPS_AN_EPOCH
