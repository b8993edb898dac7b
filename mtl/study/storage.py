"""Where a study's trials are kept: SQLite beside the runs, or any database that Optuna knows by its URL."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl.errors import ConfigError, RunError, RunInUse, suggestion
from mtl.locks import LockInUse, LocksUnsupported, exclusive
from mtl.runs.folder import STUDIES
from mtl.study.definition import Study

if TYPE_CHECKING:
    import optuna
    from optuna.storages import BaseStorage

DATABASE = "study.db"
OPENING_TRIES = 5
DEFINITION, BASE_CELL = "definition", "base_cell"
"""Attributes of a study: what it was begun with, and the cell of its base."""
BINDING = ("base", "set", "space", "objective", "seeds")
"""Parts of a definition that make trials comparable: they cannot change in a study."""


def study_folder(runs: Path, name: str) -> Path:
    """Where a study of that name keeps its files."""
    return runs / STUDIES / name


def storage_url(runs: Path, name: str, url: str | None) -> str:
    """The given storage, or SQLite in the study's folder. Raises ConfigError for a path that no URL can hold."""
    path = str(study_folder(runs, name) / DATABASE)
    if url is None and "?" in path:
        raise ConfigError(
            f"{path}: a question mark ends the path in SQLite's URL. Use --name, or another --runs."
        )
    return url or f"sqlite:///{path}"


def open_storage(url: str) -> BaseStorage:
    """Connect. Raises ConfigError for a URL that leads nowhere."""
    import optuna
    from sqlalchemy.exc import OperationalError, SQLAlchemyError

    quiet()
    if "://" not in url:
        raise ConfigError(
            f"--storage {shown(url)}: expected a URL, as in sqlite:///study.db or postgresql+psycopg://host/db."
        )
    for tries_left in reversed(range(OPENING_TRIES)):
        try:
            return optuna.storages.get_storage(
                optuna.storages.RDBStorage(url, engine_kwargs=_engine(url))
            )
        except ImportError as error:
            missing = (
                f"needs the package {error.name}"
                if isinstance(error, ModuleNotFoundError)
                else first_line(error)
            )
            raise ConfigError(
                f"--storage {shown(url)}: {missing}. For PostgreSQL: pip install 'mtl-ablate[postgres]', and a URL that begins "
                "with postgresql+psycopg://"
            ) from None
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError, ValueError) as error:
            # Two that open an empty database at once make the same tables; the second finds them a moment later.
            if (
                not tries_left
                or not isinstance(error, SQLAlchemyError)
                or isinstance(error, OperationalError)
            ):
                raise ConfigError(
                    f"--storage {shown(url)}: cannot be opened: {first_line(error)}"
                ) from None
            time.sleep(0.5)
    raise AssertionError("unreachable")


def _engine(url: str) -> dict[str, Any]:
    """A busy SQLite file is waited for, as when a dashboard reads it; a lost connection to a server is renewed."""
    return (
        {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {"pool_pre_ping": True}
    )


def quiet() -> None:
    """Optuna says nothing by itself: what is worth saying is said by the study."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", module="optuna")


def shown(url: str) -> str:
    """A URL without its password."""
    scheme, separator, rest = url.partition("://")
    user, at, host = rest.rpartition("@")
    return f"{scheme}{separator}{user.partition(':')[0]}{at}{host}" if at else url


def first_line(error: BaseException) -> str:
    """What went wrong, in one line."""
    lines = [
        line.strip()
        for part in (error.__cause__, error)
        if part is not None
        for line in str(part).splitlines()
    ]
    return next((line for line in lines if line), type(error).__name__)[:300]


def open_study(definition: Study, storage: BaseStorage, base_cell: str) -> optuna.Study:
    """The study of the definition's name: the one that is there, or a new one.

    Raises ConfigError where it was begun with what makes other trials.
    """
    import optuna

    study = optuna.create_study(
        study_name=definition.name,
        storage=storage,
        directions=[one.direction for one in definition.objectives],
        load_if_exists=True,
        sampler=optuna.samplers.RandomSampler(),
        pruner=optuna.pruners.NopPruner(),
    )
    plain = definition.canonical()
    known = study.user_attrs.get(DEFINITION)
    if known is None:
        if study.get_trials(deepcopy=False):
            raise ConfigError(
                f"{definition.name}: the storage holds a study of that name that mtl did not begin. Use --name."
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that this may change in a later version
            study.set_metric_names([one.key for one in definition.objectives])
        study.set_user_attr(BASE_CELL, base_cell)
        study.set_user_attr(DEFINITION, plain)
        return study
    changed = [key for key in BINDING if _plain(known.get(key)) != _plain(plain.get(key))]
    if changed or study.user_attrs.get(BASE_CELL) != base_cell:
        what = (
            ", ".join(changed) or "data, encoder, or a version of mtl that computes other numbers"
        )
        raise ConfigError(
            f"{definition.name}: the study that is there was begun with other {what}, so its trials do not compare with new ones. "
            f"Begin another with --name, as in --name {definition.name}-2."
        )
    if known != plain:
        study.set_user_attr(DEFINITION, plain)
    return study


def load_study(storage: BaseStorage, name: str) -> optuna.Study:
    """A study that is there. Raises ConfigError with the nearest name."""
    import optuna

    names = [
        summary.study_name
        for summary in optuna.get_all_study_summaries(storage, include_best_trial=False)
    ]
    if name not in names:
        there = ", ".join(sorted(names)) or "none"
        raise ConfigError(
            f"no study {name!r} in the storage; there are {there}.{suggestion(name, names)}"
        )
    study = optuna.load_study(
        study_name=name, storage=storage, sampler=optuna.samplers.RandomSampler()
    )
    if DEFINITION not in study.user_attrs:
        raise ConfigError(f"{name}: a study that mtl did not begin; it keeps no definition.")
    return study


def definition_in(study: optuna.Study) -> Study:
    """The definition that a study keeps."""
    from mtl.config.yaml_file import YamlDocument
    from mtl.study.definition import study_from

    known = study.user_attrs[DEFINITION]
    return study_from(
        YamlDocument(source=f"study {study.study_name}", value=known), Path(), study.study_name
    )


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


@contextmanager
def told(url: str) -> Iterator[None]:
    """Turn what a database can do to a study into a message: away, full, or without permission. Raises RunError."""
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise RunError(
            f"{shown(url)}: {first_line(error)} No run is lost; the same command goes on once the storage is there again."
        ) from error


@contextmanager
def alone(url: str) -> Iterator[None]:
    """Hold an SQLite file, which is no place for two coordinators; any other database may have several.

    Raises RunInUse where another process holds it.
    """
    path = sqlite_file(url)
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(exclusive(path.with_name(f"{path.name}.lock")))
        except LockInUse as holder:
            raise RunInUse(
                f"{path}: {holder} is optimising on this SQLite file. Wait for it, or give several "
                "processes a PostgreSQL database: --storage postgresql+psycopg://user@host/database"
            ) from None
        except LocksUnsupported as error:
            raise RunError(f"{error} Put --storage on one that has.") from None
        yield


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite URL; None for another database, or one in memory."""
    if not url.startswith("sqlite"):
        return None
    name = url.partition(":///")[2].partition("?")[0]
    return Path(name) if name and name != ":memory:" else None


def known_studies(runs: Path) -> Mapping[str, Path]:
    """The studies that keep their trials beside these runs, by name."""
    return {path.parent.name: path for path in sorted((runs / STUDIES).glob(f"*/{DATABASE}"))}
