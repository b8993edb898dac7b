"""The storage of a study's trials: SQLite beside the runs, or any database that Optuna supports."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl.errors import ConfigError, RunError, RunInUse, masked, short, suggestion
from mtl.locks import LockInUse, LocksUnsupported, exclusive
from mtl.runs.folder import STUDIES
from mtl.study.definition import Study
from mtl.study.lease import is_lease
from mtl.study.trials import is_known

if TYPE_CHECKING:
    import optuna
    from optuna.storages import BaseStorage

DATABASE = "study.db"
OPENING_TRIES = 5
DEFINITION, BASE_CELL = "definition", "base_cell"
"""Attributes of a study: its definition, and the cell of its base config."""
FIXED_KEYS = ("base", "set", "space", "objective", "seeds")
"""Keys of a definition that cannot change within a study: trials would not compare."""


def study_folder(runs: Path, name: str) -> Path:
    """The folder of a study's files."""
    return runs / STUDIES / name


def known_studies(runs: Path) -> Mapping[str, Path]:
    """The studies with an SQLite file beside these runs, by name."""
    return {path.parent.name: path for path in sorted((runs / STUDIES).glob(f"*/{DATABASE}"))}


def storage_url(runs: Path, name: str, url: str | None) -> str:
    """The given URL, or that of SQLite in the study's folder.

    Raises ConfigError for a path that no URL can hold.
    """
    path = str(study_folder(runs, name) / DATABASE)
    if url is None and "?" in path:
        raise ConfigError(
            f"{path}: a '?' ends the path in an SQLite URL. Use --name, or another --runs."
        )
    return url or f"sqlite:///{path}"


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite URL; None for another database, or one in memory."""
    if not url.startswith("sqlite"):
        return None
    name = url.partition(":///")[2].partition("?")[0]
    return Path(name) if name and name != ":memory:" else None


def open_storage(url: str) -> BaseStorage:
    """Connect to a storage. Raises ConfigError if that fails."""
    import optuna
    from sqlalchemy.exc import OperationalError, SQLAlchemyError

    silence_optuna()
    option = f"--storage {masked(url)}"
    if "://" not in url:
        raise ConfigError(
            f"{option}: expected a URL, as in sqlite:///study.db or postgresql+psycopg://host/db."
        )
    for tries_left in reversed(range(OPENING_TRIES)):
        try:
            engine = _engine_arguments(url)
            _check_tables(url, engine, wait=tries_left > 0)
            storage = optuna.storages.RDBStorage(url, engine_kwargs=engine)
            return optuna.storages.get_storage(storage)
        except ImportError as error:
            raise ConfigError(
                f"{option}: {masked(_missing_package(error), url)}. For PostgreSQL: pip install "
                "'mtl-ablate[postgres]', and a URL that begins with postgresql+psycopg://"
            ) from None
        except (
            SQLAlchemyError,
            optuna.exceptions.StorageInternalError,
            ValueError,
            RuntimeError,  # tables of another version of Optuna
        ) as error:
            # Two processes that open an empty database at once create the same tables. The second
            # finds them a moment later.
            retry = isinstance(error, SQLAlchemyError | _TablesMissing)
            retry = retry and not isinstance(error, OperationalError)
            if not (tries_left and retry):
                raise ConfigError(
                    f"{option}: cannot be opened: {masked(first_line(error), url)}"
                ) from None
            time.sleep(0.5)
    raise AssertionError("unreachable")


def _engine_arguments(url: str) -> dict[str, Any]:
    """Wait for a busy SQLite file, as when a dashboard reads it; renew a lost server connection.

    Only PostgreSQL has a limit on the wait for a server.
    """
    from sqlalchemy import make_url

    from mtl.study.postgres import connector

    if url.startswith("sqlite"):
        return {"connect_args": {"timeout": 60}}
    place, more = make_url(url), dict[str, Any]()
    if place.get_dialect().driver == "psycopg":
        more = {"creator": connector(place)}
    return {"pool_pre_ping": True} | more


class _TablesMissing(ValueError):
    """The database has some of Optuna's tables and lacks others."""


def _check_tables(url: str, engine: Mapping[str, Any], *, wait: bool) -> None:
    """Raise _TablesMissing where Optuna would put empty tables in the place of lost ones.

    Empty tables alone are those of a process that is creating them. It gets time to end; if it was
    killed, Optuna creates the rest.
    """
    import sqlalchemy
    from optuna.storages._rdb.models import BaseModel

    tables = BaseModel.metadata.tables
    connected = sqlalchemy.create_engine(url, **engine)
    try:
        names = set(sqlalchemy.inspect(connected).get_table_names())
        missing = sorted({*tables, "alembic_version"} - names)
        known = [tables[name] for name in tables if name in names and name != "version_info"]
        with connected.connect() as connection:
            in_use = wait or any(
                connection.execute(sqlalchemy.select(table).limit(1)).first() for table in known
            )
    finally:
        connected.dispose()
    if names & {*tables, "alembic_version"} and missing and in_use:
        raise _TablesMissing(
            f"it lacks {', '.join(missing)}, a table of Optuna's: the database is damaged, or of "
            "another program. Restore a copy, or name another database."
        )


def _missing_package(error: ImportError) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"needs the package {error.name}"
    return first_line(error)


def silence_optuna() -> None:
    """Turn off Optuna's own log and warnings: the study reports what matters."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", module="optuna")


def first_line(error: BaseException) -> str:
    """The first line of an error's cause, or of the error, at most 300 characters."""
    parts = [part for part in (error.__cause__, error) if part is not None]
    lines = [line.strip() for part in parts for line in str(part).splitlines()]
    return next((line for line in lines if line), type(error).__name__)[:300]


def open_study(definition: Study, storage: BaseStorage, base_cell: str) -> optuna.Study:
    """The study of the definition's name, created if it is not there.

    Raises ConfigError if the study was begun with a definition whose trials do not compare.
    """
    import optuna

    study = optuna.create_study(
        study_name=definition.name,
        storage=storage,
        directions=[goal.direction for goal in definition.objectives],
        load_if_exists=True,
        sampler=optuna.samplers.RandomSampler(),
        pruner=optuna.pruners.NopPruner(),
    )
    check_attributes(study)
    plain = definition.canonical()
    known = study.user_attrs.get(DEFINITION)
    if known is None:
        _begin_study(study, definition, base_cell)
        return study
    changed = [key for key in FIXED_KEYS if _as_json(known.get(key)) != _as_json(plain.get(key))]
    if study.user_attrs.get(BASE_CELL) != base_cell and not changed:
        changed = ["data, encoder, or a version of mtl that computes other numbers"]
    if changed:
        raise ConfigError(
            f"{definition.name}: the existing study differs in {', '.join(changed)}, so its trials "
            f"do not compare with new ones. Begin another: --name {definition.name}-2."
        )
    if known != plain:
        study.set_user_attr(DEFINITION, plain)
    return study


def _begin_study(study: optuna.Study, definition: Study, base_cell: str) -> None:
    """Write the attributes of a new study. Raises ConfigError if it has trials already."""
    if study.get_trials(deepcopy=False):
        raise ConfigError(
            f"{definition.name}: the storage has a study of that name that mtl did not create. "
            "Use --name."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna marks this as experimental
        study.set_metric_names([goal.key for goal in definition.objectives])
    study.set_user_attr(BASE_CELL, base_cell)
    study.set_user_attr(DEFINITION, definition.canonical())


def load_study(storage: BaseStorage, name: str) -> optuna.Study:
    """An existing study. Raises ConfigError with the nearest name if there is none."""
    import optuna

    summaries = optuna.get_all_study_summaries(storage, include_best_trial=False)
    names = sorted(summary.study_name for summary in summaries)
    if name not in names:
        known = ", ".join(names) or "none"
        raise ConfigError(
            f"no study {name!r} in the storage. Studies there: {known}.{suggestion(name, names)}"
        )
    sampler = optuna.samplers.RandomSampler()
    study = optuna.load_study(study_name=name, storage=storage, sampler=sampler)
    if DEFINITION not in study.user_attrs:
        raise ConfigError(f"{name}: mtl did not create this study; it has no definition.")
    check_attributes(study)
    return study


def check_attributes(study: optuna.Study) -> None:
    """Raise ConfigError where an attribute is not as this version of mtl writes it."""
    study_attributes = study.user_attrs
    by_owner = {"the study": study_attributes} | {
        f"trial {trial.number}": trial.user_attrs for trial in study.get_trials(deepcopy=False)
    }
    kinds = {DEFINITION: dict, BASE_CELL: str}
    wrong = [
        (owner, key, value)
        for owner, attributes in by_owner.items()
        for key, value in attributes.items()
        if not (
            isinstance(value, kinds.get(key, object)) and is_lease(key, value)
            if attributes is study_attributes
            else is_known(key, value)
        )
    ]
    for owner, key, value in wrong[:1]:
        raise ConfigError(
            f"{study.study_name}: {key}={short(value)} of {owner} is not what this version of mtl "
            "writes. Update mtl, or begin another study with --name."
        )


def definition_in(study: optuna.Study) -> Study:
    """The definition in a study's attributes."""
    from mtl.documents.yaml_file import YamlDocument
    from mtl.study.definition import study_from

    document = YamlDocument(source=f"study {study.study_name}", value=study.user_attrs[DEFINITION])
    return study_from(document, Path(), study.study_name)


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


@contextmanager
def storage_errors(url: str) -> Iterator[None]:
    """Turn errors of the database into a message: unreachable, full, or not permitted.

    Raises RunError.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except json.JSONDecodeError as error:
        raise RunError(
            f"{masked(url)}: an attribute is damaged: {error}. Restore a copy of the "
            "database, or begin another study with --name and --storage."
        ) from error
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise RunError(
            f"{masked(url)}: {masked(first_line(error), url)} No run is lost. Run the same command "
            "again once the storage works."
        ) from error


@contextmanager
def storage_lock(url: str) -> Iterator[None]:
    """Lock an SQLite file, which allows one coordinator. Other databases allow several.

    Raises RunInUse if another process has the lock, and RunError if the file system has no locks.
    """
    path = sqlite_file(url)
    if path is None:
        yield
        return
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(exclusive(path.with_name(f"{path.name}.lock")))
        except LockInUse as holder:
            raise RunInUse(
                f"{path}: {holder} is optimising on this SQLite file. Wait for it, or give several "
                "processes a PostgreSQL database: --storage postgresql+psycopg://user@host/database"
            ) from None
        except LocksUnsupported as error:
            raise RunError(f"{error} Put --storage on a file system with locks.") from None
        except OSError as error:
            raise RunError(
                f"{path}: cannot be locked: {error.strerror}. Put --storage where files can be "
                "written."
            ) from None
        yield


def serve_dashboard(url: str, port: int) -> None:
    """Serve optuna-dashboard on loopback until interrupted. It has no password."""
    from wsgiref.simple_server import WSGIServer, make_server

    from optuna_dashboard import wsgi

    with make_server("127.0.0.1", port, wsgi(open_storage(url)), server_class=WSGIServer) as server:
        server.serve_forever()
