"""Shared by the tests of the command line: calling `mtl`, and two runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mtl.cli import main


def mtl(*words: str | Path, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], input=stdin)


def tiny_words(data: Path) -> list[str]:
    return [
        "encoder=random-tiny",
        f"data={data}",
        "train.epochs=1",
        "train.batch_size=8",
        "train.lr=1e-3",
    ]


@pytest.fixture(scope="module")
def two_runs(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder with a siamese and a concatenated run, and their ids."""
    runs = tmp_path_factory.mktemp("runs")
    ids = []
    for pairing in ("siamese", "concat"):
        result = mtl(
            "train",
            *tiny_words(tiny_data),
            f"pairing={pairing}",
            "--runs",
            runs,
            "--json",
            "--quiet",
        )
        assert result.exit_code == 0, result.output
        ids.append(json.loads(result.stdout)["run_id"])
    return runs, ids
