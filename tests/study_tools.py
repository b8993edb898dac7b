"""What the tests of studies share: a space on tiny data, and a search of it by formula."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mtl.documents.yaml_file import dump_yaml, parse_yaml
from mtl.grid.view import View
from mtl.runs.prepare import Sources
from mtl.study.definition import Study, study_from
from mtl.study.engine import StudyOutcome, search
from mtl.study.storage import silence_optuna
from tests.study_trains import FormulaPool

SPACE: dict[str, Any] = {
    "pairing": ["siamese", "concat"],
    "heads.sst": ["mlp", "linear"],
    "pooling": ["pooler", "mean"],
    "freeze.unfrozen": {"int": [0, 2]},
    "train.lr": {"float": [1e-6, 1e-2], "log": True},
}


def study_text(data: Path, **more: Any) -> str:
    """A study over a run of eight epochs on the tiny data; `more` goes over its keys."""
    settings = {
        "encoder": "random-tiny",
        "data": str(data),
        "train.epochs": 8,
        "train.batch_size": 4,
    }
    plain = {
        "question": "Which is best?",
        "set": settings | more.pop("set", {}),
        "space": SPACE,
    } | more
    return dump_yaml(plain)


def write_study(path: Path, data: Path, **more: Any) -> Path:
    """The study of `study_text` in a file."""
    path.write_text(study_text(data, **more))
    return path


def make_study(data: Path, name: str = "small", **more: Any) -> Study:
    """The same without a file."""
    return study_from(parse_yaml(study_text(data, **more), f"{name}.yaml"), Path(), name)


def by_formula(
    definition: Study,
    runs: Path,
    *,
    storage: Any = None,
    sources: Sources | None = None,
    slots: int = 2,
    said: list[str] | None = None,
) -> tuple[StudyOutcome, FormulaPool]:
    """A search whose runs are a formula; in memory where no storage is given."""
    import optuna

    silence_optuna()
    pool, sources = FormulaPool(runs, slots), sources or Sources()
    found = search(
        definition,
        storage or optuna.storages.InMemoryStorage(),
        pool,
        runs=runs,
        sources=sources,
        base_cell=definition.check(sources),
        workers=slots,
        view=View([].append if said is None else said.append),
    )
    return found, pool
