"""Options of runs: one place that defines them, and errors that name every bad one."""

from __future__ import annotations

from pathlib import Path
from typing import get_type_hints

import pytest

import mtl
from mtl.config.schema import RunConfig
from mtl.errors import ConfigError
from mtl.runs.options import PoolKeywords, PoolOptions, RunKeywords, RunOptions


@pytest.mark.parametrize(
    ("model", "keywords"), [(RunOptions, RunKeywords), (PoolOptions, PoolKeywords)]
)
def test_keywords_for_type_checkers_are_the_fields(
    model: type[RunOptions], keywords: type[RunKeywords]
) -> None:
    fields, words = get_type_hints(model), get_type_hints(keywords)
    own = {name: fields[name] for name in model.model_fields}
    assert words == own | {"runs": str | Path}


def test_every_bad_option_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError) as raised:
        PoolOptions().replace(devcie="cpu", workers=0, wandb="on")
    message = str(raised.value)
    assert "unknown option 'devcie'. Did you mean 'device'?" in message
    assert "option workers=0: Input should be greater than or equal to 1." in message
    assert "option wandb='on'" in message


def test_keywords_go_over_options_and_leave_the_others() -> None:
    options = PoolOptions(runs=Path("here"), workers=3).replace(device="cpu")
    assert (options.runs, options.workers, options.device) == (Path("here"), 3, "cpu")


def test_options_of_a_pool_mean_nothing_to_one_run() -> None:
    with pytest.raises(ConfigError, match="unknown option 'workers'"):
        mtl.train(RunConfig(), workers=2)  # type: ignore[call-arg]
