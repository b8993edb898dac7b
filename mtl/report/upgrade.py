"""Reads the kept records of a report, and brings those of earlier schemas up to date.

Verdicts are made again by the rules of this version, from the runs that were kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mtl.ablation.claims import read_claims
from mtl.ablation.grid_design import GridDesign
from mtl.ablation.grid_files import of_schema_2
from mtl.ablation.judging import make_results
from mtl.config import identity
from mtl.documents.yaml_file import YamlDocument
from mtl.errors import RunError
from mtl.report.archive import (
    SCHEMA,
    AnyArchive,
    ArchivedRun,
    ArchivedRuns,
    DevRows,
    from_json,
    read_json,
)

_RUNS = TypeAdapter(dict[str, ArchivedRun])
_ROWS = TypeAdapter(dict[str, DevRows])


def read(path: Path) -> AnyArchive:
    """The records of a file.

    Raises RunError where they are missing, damaged or of an unknown schema.
    """
    plain = read_json(path)
    schema = plain.get("schema")
    if schema not in (1, 2, SCHEMA):
        raise RunError(
            f"{path}: expected records of schema {SCHEMA}, got {schema!r}. Make the report again."
        )
    try:
        return from_json(plain if schema == SCHEMA else _up_to_date(plain, schema))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise RunError(
            f"{path}: damaged at {place}: {first['msg']}. Make the report again from its runs."
        ) from None
    except KeyError as error:
        raise RunError(f"{path}: damaged: it lacks {error}. Make the report again.") from None


def _up_to_date(plain: dict[str, Any], schema: int) -> dict[str, Any]:
    """Plain data of this schema from that of an earlier one, whose results were made otherwise."""
    if plain["kind"] == "study":
        return plain | {"schema": SCHEMA}
    design = (
        _design(plain) if schema == 1 else GridDesign.model_validate(of_schema_2(plain["design"]))
    )
    runs = ArchivedRuns(_RUNS.validate_python(plain["runs"]), _ROWS.validate_python(plain["rows"]))
    kept = ("kind", "text", "runs", "rows", "leaks")
    return {
        "schema": SCHEMA,
        **{key: plain[key] for key in kept},
        "design": design,
        "results": make_results(design, runs),
    }


def _design(plain: Mapping[str, Any]) -> GridDesign:
    design = plain["design"]
    cells = {arm["name"]: arm["cell"] for arm in design["arms"]}
    return GridDesign.model_validate({
        **{key: plain[key] for key in ("name", "question", "base", "margin")},
        **{key: design[key] for key in ("baseline", "arms", "factors", "combinations")},
        "claims": read_claims(YamlDocument(source=plain["name"], value=plain["claims"]))[0],
        "runs": {
            arm: {seed: identity.run_id(cells[arm], seed) for seed in seeds}
            for arm, seeds in plain["seeds"].items()
        },
    })  # fmt: skip
