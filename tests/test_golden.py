"""Run identity is a promise: no cell changes its name, and no run its bits, unless `NUMERICS` is
raised."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.golden_values import LOSSES, NAMES, SHORT_RUNS, machine, names, short_run

GOLDEN: dict[str, Any] = json.loads(NAMES.read_text("utf-8"))


@cache
def today() -> dict[str, Any]:
    return names()


@pytest.mark.parametrize("kind", sorted(GOLDEN))
def test_every_name_is_what_it_was(kind: str) -> None:
    assert today()[kind] == GOLDEN[kind]


def test_a_committed_record_is_named_by_its_own_config() -> None:
    for report, computed in today()["records"].items():
        assert computed, report
        assert all(name == again for name, again in computed.items())


@pytest.mark.parametrize("name", sorted(SHORT_RUNS))
def test_a_short_run_gives_the_same_numbers(name: str, tmp_path: Path) -> None:
    """The same bits on a machine that the file knows, and the same numbers to rounding on any
    other."""
    known = json.loads(LOSSES.read_text("utf-8"))
    run = short_run(name, tmp_path)
    if machine() in known:
        assert run == known[machine()][name]
    for golden in known.values():
        for step, expected in zip(run["steps"], golden[name]["steps"], strict=True):
            assert step.keys() == expected.keys()
            for key, value in step.items():
                assert float.fromhex(value) == pytest.approx(
                    float.fromhex(expected[key]), rel=1e-3
                ), key
