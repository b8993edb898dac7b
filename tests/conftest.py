"""Shared by all tests: a separate cache, no W&B, small course files for a tiny encoder, a tally."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fault_tools import Tally

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = (
    "1"  # tiny tensors gain nothing from threads, and busy cores then cost little
)
os.environ["TOKENIZERS_PARALLELISM"] = "false"


@pytest.fixture(scope="session", autouse=True)
def own_places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests do not use the caches and W&B settings of the person who runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MTL_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("WANDB_MODE", "disabled")
        patch.delenv("WANDB_API_KEY", raising=False)
        yield


@pytest.fixture(autouse=True)
def known_tasks() -> Iterator[None]:
    """No test knows the tasks of another."""
    from mtl.tasks.registry import TASKS

    yield
    TASKS.forget()


WORDS = (
    "the a cat dog film book story is was not very good bad best worst man woman in on with".split()
)


def write_tiny_data(
    folder: Path, *, rows: int = 24, dev: int = 12, test: int = 6, seed: int = 0
) -> Path:
    """Course files of random words. The labels follow from the words, so a model can learn."""
    draw = random.Random(seed)

    def sentence() -> list[str]:
        return [draw.choice(WORDS) for _ in range(draw.randint(2, 9))]

    folder.mkdir(parents=True, exist_ok=True)
    for split, count in {"train": rows, "dev": dev, "test": test}.items():
        lines: dict[str, list[str]] = {"ids-sst": ["\tid\tsentence\tsentiment"]}
        lines["quora"] = ["\tid\tsentence1\tsentence2\tis_duplicate"]
        lines["sts"] = ["\tid\tsentence1\tsentence2\tsimilarity"]
        for number in range(count):
            first, second = sentence(), sentence()
            name = f"{number}\t{split}{number:04x}"
            text = " ".join(first)
            lines["ids-sst"].append(f"{name}\t{text}\t{number % 5}")
            copy = " ".join(second if number % 2 else first[::-1])
            lines["quora"].append(f"{name}\t{text}\t{copy}\t{1 - number % 2}.0")
            shared = len(set(first) & set(second)) / len(set(first) | set(second))
            lines["sts"].append(f"{name}\t{text}\t{' '.join(second)}\t{round(5 * shared, 1)}")
        for stem, content in lines.items():
            (folder / f"{stem}-{split}.csv").write_text("\n".join(content) + "\n", "utf-8")
    return folder


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small course files."""
    return write_tiny_data(tmp_path_factory.mktemp("data") / "tiny")


@pytest.fixture
def tiny(tiny_data: Path) -> dict[str, Any]:
    """Settings of a run that takes a second: the tiny encoder on the tiny files."""
    return {
        "encoder": "random-tiny",
        "data": str(tiny_data),
        "train": {"epochs": 2, "batch_size": 4, "lr": 1e-3},
    }


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """Counts the cases of one kind of fault, named by the test's first line of documentation."""
    kind = (request.function.__doc__ or request.node.name).strip().splitlines()[0].rstrip(".")
    counted = Tally(kind)
    yield counted
    # With the report: tests run in several processes.
    request.node.user_properties.append(("held", counted.figure()))
    assert counted.cases, "no case was counted"
    assert not counted.wrong, f"{counted.figure()}: {'; '.join(counted.wrong[:10])}"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the figures of the tests of faults."""
    reports = [report for kind in terminalreporter.stats.values() for report in kind]
    figures = [
        figure
        for report in reports
        if getattr(report, "when", None) == "teardown"
        for name, figure in report.user_properties
        if name == "held"
    ]
    if figures:
        terminalreporter.section("faults that held")
        for figure in figures:
            terminalreporter.line(figure)
