"""Reads the log of a run, `metrics.jsonl`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mtl.errors import RunError
from mtl.files import open_regular, parse_json
from mtl.runs.record import Evaluation, problem_of


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log, without a last line that a kill cut off; none without a file.

    Raises RunError for a damaged file.
    """
    lines = []
    try:
        with open_regular(path) as file:
            for number, line in enumerate(file, start=1):
                try:
                    lines.append(_parsed(line))
                except ValueError as error:
                    if line.endswith(b"\n"):
                        raise RunError(f"{path}:{number}: damaged: {error}.") from None
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror}.") from None
    return lines


def _parsed(line: bytes) -> dict[str, Any]:
    stored = parse_json(line)
    if not isinstance(stored, dict):
        raise ValueError("expected an object")
    if "metrics" in stored:
        try:
            Evaluation.model_validate(stored)
        except ValidationError as error:
            raise ValueError(problem_of(error)) from None
    return stored
