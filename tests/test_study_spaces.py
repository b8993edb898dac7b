"""Studies in YAML: they are read, or refused with the line before anything trains."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from mtl.ablation.definition import read_definition
from mtl.ablation.design import expand
from mtl.config.schema import RunConfig
from mtl.documents.yaml_file import parse_yaml
from mtl.errors import ConfigError
from mtl.runs.prepare import Sources
from mtl.study.definition import Study, find_study, read_study, studies, study_from, with_words
from mtl.study.leave_one_out import leave_one_out
from mtl.study.reading import KEYS
from mtl.study.space import Parameter
from mtl.study.strategy import PRUNERS, SAMPLERS, make_pruner, make_sampler

HEAD = """question: Which is best?
space:
"""


def read(body: str, head: str = HEAD) -> Study:
    return study_from(parse_yaml(head + body, "mine.yaml"), Path(), "mine")


def test_every_kind_of_parameter_is_read() -> None:
    study = read(
        """  pairing: [siamese, concat]
  train.lr: {float: [1e-5, 1e-3], log: true}
  train.dropout: {float: [0.0, 0.3], step: 0.1}
  train.batch_size: {int: [8, 32], step: 8}
  smart.lambda_s: {float: [1, 5], when: "smart != null"}
  smart: [null, {}]
  rows:
    few: {limit: 10}
    many: {limit: 100, train.epochs: 2}
"""
    )
    found = {one.name: one for one in study.space}
    assert list(found).index("smart") < list(found).index("smart.lambda_s")
    assert found["pairing"].levels == {
        "siamese": {"pairing": "siamese"},
        "concat": {"pairing": "concat"},
    }
    assert found["smart"].levels == {"null": {"smart": None}, "{}": {"smart": {}}}
    assert found["rows"].levels["many"] == {"limit": 100, "train": {"epochs": 2}}
    assert found["train.lr"] == Parameter(
        name="train.lr", kind="float", low=1e-5, high=1e-3, log=True
    )
    assert [found["train.dropout"].takes(value) for value in (0.0, 0.1, 0.2, 0.3, 0.15, 0.4)] == [
        True
    ] * 4 + [False] * 2
    assert [found["train.batch_size"].takes(value) for value in (8, 16, 8.0, 12, 40)] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert (study.sampler, study.pruner, study.seeds, study.fresh) == ("tpe", "median", (0,), 3)
    assert [one.key for one in study.objectives] == ["dev/overall"]


def test_a_point_is_a_config_and_back() -> None:
    study = read(
        """  pairing: [siamese, concat]
  smart: [null, {}]
  smart.lambda_s: {float: [1, 5], when: "smart != null"}
  freeze.unfrozen: [all, 0, 3]
""",
        "question: q\nset: {heads.sts: auto}\nspace:\n",
    )
    space = study.make_space()
    point = {"pairing": "concat", "smart": "{}", "smart.lambda_s": 2.5, "freeze.unfrozen": "3"}
    config = space.plain(point)
    assert (config.pairing, config.freeze.unfrozen) == ("concat", 3)
    assert config.smart is not None
    assert config.smart.lambda_s == 2.5
    assert space.point(config) == point
    assert space.point(config.resolved()) == point
    off = space.plain({"pairing": "concat", "smart": "null", "freeze.unfrozen": "all"})
    assert off.smart is None
    assert space.point(off) == {"pairing": "concat", "smart": "null", "freeze.unfrozen": "all"}
    with pytest.raises(ConfigError, match="freeze.unfrozen=2 is none of the values"):
        space.point(RunConfig.model_validate({"heads": {"sts": "auto"}, "freeze": {"unfrozen": 2}}))
    with pytest.raises(ConfigError, match="pooling=mean, which neither the base nor the space has"):
        space.point(RunConfig.model_validate({"heads": {"sts": "auto"}, "pooling": "mean"}))


BAD: dict[str, tuple[str, str]] = {
    "an unknown key": ("  pairng: [siamese, concat]",
                       r"mine.yaml:3: space.pairng: no config key. Did you mean 'pairing'"),
    "a level out of range": ("  pairing: [siamese, joined]",
                             r"mine.yaml:3: pairing: .*'siamese' or 'concat', got 'joined'"),
    "a low end out of range": ("  train.lr: {float: [0, 1e-3]}",
                               r"mine.yaml:3: train.lr: .*greater than 0"),
    "a high end out of range": ("  max_length: {int: [64, 1024]}",
                                r"mine.yaml:3: max_length: .*less than or equal to 512"),
    "a real number for a whole": ("  train.epochs: {float: [1, 3.5]}",
                                  r"mine.yaml:3: train.epochs: .*valid integer"),
    "log with 0": ("  train.weight_decay: {float: [0, 0.1], log: true}",
                   r"mine.yaml:3: .*log: needs a low end above 0"),
    "log and step": ("  train.lr: {float: [1e-5, 1e-3], log: true, step: 1e-5}",
                     "log and step exclude each other"),
    "an empty range": ("  train.lr: {float: [1e-3, 1e-5]}", "is empty"),
    "a step beyond the range": ("  train.epochs: {int: [1, 4], step: 5}", "at most 3"),
    "a step that misses the end": ("  train.epochs: {int: [1, 4], step: 2}",
                                   "4 is not reached in steps of 2; the last is 3"),
    "an infinite end": ("  train.lr: {float: [1e-5, .inf]}", "two numbers"),
    "one value": ("  pairing: [concat]", "one value goes under `set`"),
    "the same value twice": ("  train.lr: [1e-5, 0.00001]", "the level 1e-5 is listed twice"),
    "an unknown word": ("  train.lr: {float: [1e-5, 1e-3], logg: true}",
                        "space.train.lr.logg: unknown key. Did you mean 'log'"),
    "a seed": ("  seed: [1, 2]", "seeds are no parameter"),
    "the same key twice": (
        "  train.lr: [1e-5, 1e-4]\n  rate: {low: {train.lr: 1e-5}, high: {train.lr: 1e-3}}",
        "train.lr is set by train.lr too",
    ),
    "a condition that does not parse": ("  smart: [null, {}]\n"
                                        "  smart.mu: {float: [0, 1], when: 'smart !='}",
                                        r"mine.yaml:4: .*when:"),
    "a condition on an unknown key": ("  smart: [null, {}]\n  smart.mu: {float: [0, 1], when: "
                                      "'smrt != null'}", "unknown key 'smrt'"),
    "a condition on an absent key": (
        "  pairing: [siamese, concat]\n  smart.mu: {float: [0, 1], when: 'smart != null'}",
        "mine.yaml:4: space.smart.mu: when: smart is not in the space",
    ),
    "conditions in a circle": (
        "  pairing: {choices: [siamese, concat], when: \"pooling == 'mean'\"}\n"
        "  pooling: {choices: [pooler, mean], when: \"pairing == 'concat'\"}",
        "form a circle",
    ),
    "a knob of what is off": ("  smart: [null, {}]\n  smart.mu: {float: [0, 1]}",
                              'Add the condition when: "smart != null"'),
    "several objectives with pruning": (
        "  pairing: [siamese, concat]\nobjective: [dev/sst/accuracy, dev/sts/pearson]\n"
        "pruner: median",
        "mine.yaml:5: pruner: median compares trials by one score",
    ),
    "an unknown objective": ("  pairing: [siamese, concat]\nobjective: dev/sst/pearson",
                             r"no objective 'dev/sst/pearson'"),
    "an objective that not all have": (
        "  pairing: [siamese, concat]\nset: {tasks: [sst]}\nobjective: dev/sts/pearson",
        "not every trial trains sts",
    ),
    "another overall in each trial": ("  tasks: [[sst], [sst, sts]]", "not the same mean"),
    "cmaes without numbers": ("  pairing: [siamese, concat]\nsampler: cmaes",
                              "cmaes needs two int or float"),
    "cmaes with two objectives": (
        "  train.lr: {float: [1e-5, 1e-3]}\n  train.warmup: {float: [0, 0.5]}\nsampler: cmaes\n"
        "objective: [dev/sst/accuracy, dev/sts/pearson]",
        "cmaes optimises one objective",
    ),
    "gp with conditions": (
        "  smart: [null, {}]\n  smart.mu: {float: [0, 1], when: 'smart != null'}\nsampler: gp",
        "gp cannot model conditional parameters",
    ),
    "nothing to prune": ("  pairing: [siamese, concat]\nset: {train.epochs: 1}\npruner: median",
                         "has nothing to prune"),
    "an unknown sampler": ("  pairing: [siamese, concat]\nsampler: tpee", "Did you mean 'tpe'"),
    "an unknown part": ("  pairing: [siamese, concat]\nspaces: 1",
                        "unknown key. Did you mean 'space'"),
    "a first config that is no preset": ("  pairing: [siamese, concat]\nfirst: [finall]",
                                         "Did you mean 'final'"),
    "a budget of nothing": ("  pairing: [siamese, concat]\nbudget: {trials: 0}",
                            "whole number from 1"),
    "no space": ("  {}", "expected parameters"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_a_bad_space_is_refused_with_its_line(what: str) -> None:
    body, message = BAD[what]
    with pytest.raises(ConfigError, match=message):
        read(body)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        read("  pairng: [siamese, concat]\n  train.lr: {float: [0, 1], log: true}\nsampler: best")
    assert [line.split(":")[1] for line in str(caught.value).splitlines()] == ["3", "4", "5"]


def test_gp_needs_torch_and_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtl.study.strategy.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="gp needs torch and scipy"):
        read("  train.lr: {float: [1e-5, 1e-3]}\nsampler: gp")


def test_what_needs_the_encoder_is_checked_before_anything_trains() -> None:
    study = read("  freeze.unfrozen: {int: [0, 12]}\nset: {encoder: random-tiny}")
    with pytest.raises(
        ConfigError,
        match=r"mine.yaml:3: space.freeze.unfrozen: freeze.unfrozen=12: the encoder has 2 layers",
    ):
        study.check(Sources())
    study = read("  pairing: [siamese, concat]\nset: {encoder: random-tiny}\nfirst: [final]")
    with pytest.raises(ConfigError, match="mine.yaml:5: first: final is not in the space"):
        study.check(Sources())


def test_a_value_that_no_trial_could_have_is_refused() -> None:
    tiny = "set: {encoder: random-tiny}"
    study = read(f"  surgery: [sum, dominant]\n  pairing: [siamese, concat]\n{tiny}")
    with pytest.raises(
        ConfigError,
        match=r"mine.yaml:3: .*with surgery=dominant no point of the space can be "
        r"run.*consolidated",
    ):
        study.check(Sources())
    never = "pairing == 'siamese' and not (pairing == 'siamese')"
    study = read(
        f'  pairing: [siamese, concat]\n  pooling: {{choices: [cls, max], when: "{never}"}}\n{tiny}'
    )
    with pytest.raises(ConfigError, match=r"mine.yaml:4: .*its condition never holds"):
        study.check(Sources())
    read(f"  surgery: [sum, dominant]\n  schedule: [pooled, consolidated]\n{tiny}").check(Sources())


def test_the_example_in_the_docs_is_a_study() -> None:
    root = Path(__file__).resolve().parents[1]
    text = (root / "docs" / "studies.md").read_text("utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.S)
    study = study_from(parse_yaml(example, "studies.md"), Path(), "example")
    assert len(study.points()) == 2
    table = (root / "studies" / "README.md").read_text("utf-8")
    assert all(f"| `{name}` |" in table for name in studies())
    assert all(f"`{key}`" in text for key in KEYS)


def test_words_go_over_the_settings_but_not_over_what_varies() -> None:
    study = read("  train.lr: {float: [1e-5, 1e-3]}")
    other = with_words(study, ["train.epochs=2", "seed=3,4"], name="other")
    assert (other.name, other.seeds, other.settings) == ("other", (3, 4), {"train": {"epochs": 2}})
    assert with_words(study, []) == study
    for word in ("train.lr=1e-4", "train={}", "train.lrr=1"):
        with pytest.raises(ConfigError):
            with_words(study, [word])


def test_a_study_is_kept_whole_in_its_storage(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("pairing: concat\nseed: 3\n")
    (tmp_path / "mine.yaml").write_text(
        "question: q\nbase: base.yaml\nspace: {pooling: [mean, max]}\n"
    )
    study = read_study(tmp_path / "mine.yaml")
    (tmp_path / "base.yaml").unlink()
    (tmp_path / "again.yaml").write_text(study.to_yaml())
    assert read_study(tmp_path / "again.yaml") == study
    assert study.make_space().plain({}).pairing == "concat"


def test_every_study_that_comes_with_mtl_is_sound() -> None:
    assert set(studies()) >= {"quick", "paper"}
    for name in studies():
        study = find_study(name)
        study.check(Sources())
        comment = " ".join(line[2:] for line in Path(studies()[name]).read_text().splitlines())
        assert comment.startswith(study.question)
    assert {"baseline", "final", "concat"} == set(find_study("paper").points())


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_can_be_made_and_asked(name: str) -> None:
    import optuna

    study = read("  train.lr: {float: [1e-5, 1e-3]}\n  train.warmup: {float: [0, 0.5]}")
    sampler = make_sampler(name, study.space, study.objectives, 1)
    assert name in type(sampler).__name__.lower().replace("ii", "2")
    kept = optuna.create_study(sampler=sampler)
    for _ in range(3):
        trial = kept.ask()
        kept.tell(
            trial,
            trial.suggest_float("train.lr", 1e-5, 1e-3)
            + trial.suggest_float("train.warmup", 0, 0.5),
        )


@pytest.mark.parametrize("name", PRUNERS)
def test_every_pruner_can_be_made(name: str) -> None:
    assert {"none": "nop"}.get(name, name) in type(make_pruner(name, 8)).__name__.lower()


def test_the_winner_is_taken_apart_by_its_differences(tmp_path: Path) -> None:
    study = read(
        """  pairing: [siamese, concat]
  pooling: [pooler, mean]
  schedule: [pooled, consolidated]
  surgery: {choices: [sum, dominant], when: "schedule == 'consolidated'"}
  smart: [null, {}]
  smart.lambda_s: {float: [1, 5], when: "smart != null"}
  train.lr: {float: [1e-6, 1e-3], log: true}
"""
    )
    point: dict[str, Any] = {"pairing": "concat", "pooling": "pooler", "schedule": "consolidated",
                             "surgery": "dominant",
                             "smart": "{}", "smart.lambda_s": 2.5, "train.lr": 2e-4}  # fmt: skip
    grid = leave_one_out(study, point, [7, 8, 9])
    assert (grid.design, grid.seeds, grid.base) == ("leave-one-out", (7, 8, 9), "baseline")
    assert set(grid.grid) == {"pairing", "surgery-and-schedule", "smart",
                              "train.lr"} or set(grid.grid) == {
        "pairing", "schedule-and-surgery", "smart", "train.lr"}  # fmt: skip
    design = expand(grid, lambda config: repr(config.canonical()))
    everything, *rest = design.arms
    assert everything.config == study.make_space().plain(point).resolved()
    assert len(rest) == 4
    without = {arm.name: arm.config for arm in rest}
    assert without["without smart"].smart is None
    assert without["without train.lr"].train.lr == 1e-5
    assert without["without pairing"].pairing == "siamese"
    (tmp_path / "grid.yaml").write_text(grid.to_yaml())
    assert read_definition(tmp_path / "grid.yaml").canonical() == grid.canonical()
    with pytest.raises(ConfigError, match="is the base itself"):
        leave_one_out(study,
                      {"pairing": "siamese", "pooling": "pooler", "schedule": "pooled",
                       "smart": "null",
                              "train.lr": 1e-5}, [1])  # fmt: skip
