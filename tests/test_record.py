"""Records: stored values come back, old and newer files are read, damaged ones name the key."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mtl.config.schema import RunConfig
from mtl.errors import RunError
from mtl.runs.failed import failed_record
from mtl.runs.folder import RunFolder
from mtl.runs.record import Record, parse_record
from mtl.runs.sealed import parse_sealed
from tests.fault_tools import edit

REPORTS = Path(__file__).parents[1] / "reports"


def stored(folder: RunFolder) -> dict[str, Any]:
    """A record's file, without its digest."""
    return parse_sealed((folder.path / "record.json").read_bytes())


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run that failed."""
    run = RunFolder(tmp_path / "abc-s0")
    run.path.mkdir()
    run.finish(failed_record(RunConfig(), run.run_id, "no memory"))
    return run


@pytest.mark.parametrize("report", ["half-precision", "paper", "quickstart"])
def test_committed_records_are_read_and_written_without_a_change(report: str) -> None:
    packed = (REPORTS / report / "records.json.gz").read_bytes()
    runs = json.loads(gzip.decompress(packed))["runs"]
    assert runs
    for run in runs.values():
        record = Record.model_validate(run["record"])
        assert record.as_json() == {"schema": 1} | run["record"]
        types = json.dumps(run["record"]["metrics"]), json.dumps(record.metrics)
        assert types[0] == types[1], "no integer becomes a float"


def test_the_file_has_the_keys_of_schema_2_in_their_order(folder: RunFolder) -> None:
    assert list(stored(folder)) == [
        "schema", "run_id", "cell", "seed", "status", "config", "tasks", "metrics",
        "undefined", "best_step", "steps", "seconds", "throughput", "peak_memory", "diagnostics",
        "frozen_unchanged", "data", "environment", "error", "ended", "wandb", "files",
    ]  # fmt: skip


def test_what_is_unknown_is_none_and_is_not_written(folder: RunFolder) -> None:
    record = folder.record()
    assert record is not None
    assert (record.steps, record.data.fingerprint, record.environment.cores) == (None, None, None)
    assert stored(folder)["data"] == stored(folder)["environment"] == {}


def test_keys_of_a_newer_version_are_kept(folder: RunFolder) -> None:
    newer = stored(folder) | {"energy": 5.0, "data": {"rows": {}, "language": "en"}}
    assert parse_record(Path("record.json"), newer).as_json() == newer


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"status": "finished"}, "status: Input should be 'done', 'failed'"),
        ({"throughput": {"examples_per_second": "fast", "tokens_per_second": None}},
         "throughput.examples_per_second: Input should be a valid number"),
        ({"throughput": {"examples_per_second": 1.0}}, "lacks throughput.tokens_per_second"),
        ({"schema": 3}, r"schema: 3 was written by a newer version of mtl; update mtl\."),
        ({"schema": True}, "schema: expected 2, got True"),
        ({"seconds": -1.0}, "seconds: Input should be greater than or equal to 0"),
        ({"config": {"encoder": "x"}}, "config: expected a text as 'data'"),
    ],
)  # fmt: skip
def test_a_damaged_record_names_file_key_and_remedy(
    folder: RunFolder, change: dict[str, Any], problem: str
) -> None:
    path = folder.path / "record.json"
    edit(path, **change)
    with pytest.raises(RunError, match=problem) as caught:
        folder.record()
    assert str(path) in str(caught.value)
    assert "schema" in problem or "Remove it and run again." in str(caught.value)


def test_missing_keys_are_all_named(folder: RunFolder) -> None:
    content = stored(folder)
    del content["metrics"], content["seed"]
    with pytest.raises(RunError, match=r"lacks seed, metrics\. Remove it and run again\."):
        parse_record(Path("record.json"), content)


def test_a_record_is_frozen(folder: RunFolder) -> None:
    record = folder.record()
    assert record is not None
    with pytest.raises(ValidationError):
        record.status = "done"  # type: ignore[misc]
