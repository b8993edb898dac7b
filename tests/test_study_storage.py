"""Storages of studies in trouble: each says what is wrong and what helps, without a traceback."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import optuna
import pytest
import sqlalchemy

from mtl.errors import ConfigError, RunError
from mtl.locks import LocksUnsupported
from mtl.runs.prepare import Sources
from mtl.study.storage import (
    load_study,
    open_storage,
    open_study,
    storage_errors,
    storage_lock,
)
from tests.study_tools import make_study


@pytest.fixture
def database(tiny_data: Path, tmp_path: Path) -> Path:
    """A study with one trial in an SQLite file."""
    definition, path = make_study(tiny_data), tmp_path / "study.db"
    study = open_study(definition, open_storage(f"sqlite:///{path}"), definition.check(Sources()))
    study.ask()
    return path


def change(path: Path, statement: str, *values: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement, values)
    connection.close()


def problem(path: Path) -> str:
    """What is said about a study."""
    url = f"sqlite:///{path}"
    with pytest.raises((ConfigError, RunError)) as error, storage_errors(url):
        load_study(open_storage(url), "small").get_trials()
    return str(error.value)


def test_tables_of_a_newer_optuna_are_named(database: Path) -> None:
    change(database, "UPDATE alembic_version SET version_num = 'v99.0.0.a'")
    assert "cannot be opened" in problem(database)
    assert "updating optuna" in problem(database)


@pytest.mark.parametrize("table", ["trial_user_attributes", "version_info", "alembic_version"])
def test_a_missing_table_is_not_replaced_by_an_empty_one(
    database: Path, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    change(database, f"DROP TABLE {table}")
    said = problem(database)
    assert f"lacks {table}" in said
    assert "Restore" in said


def test_a_process_killed_while_it_created_the_tables_does_no_harm(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from optuna.storages._rdb.models import BaseModel

    monkeypatch.setattr("time.sleep", lambda seconds: None)
    tables, definition = BaseModel.metadata.sorted_tables, make_study(tiny_data)
    base_cell = definition.check(Sources())
    for count in (0, 1, len(tables) - 1, len(tables)):
        url = f"sqlite:///{tmp_path}/{count}.db"
        engine = sqlalchemy.create_engine(url)
        BaseModel.metadata.create_all(engine, tables[:count])
        engine.dispose()
        assert open_study(definition, open_storage(url), base_cell).ask().number == 0


def test_a_missing_column_is_one_error(database: Path) -> None:
    change(database, "ALTER TABLE trials DROP COLUMN datetime_start")
    assert "once the storage works" in problem(database)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("definition", "3"),
        ("definition", "{"),
        ("base_cell", "[]"),
        ("coordinator x", "{}"),
        ("coordinator x", json.dumps({"machine": 1, "lock": "", "began": 0, "beat": 0})),
    ],
)
def test_attributes_of_another_version_are_named(database: Path, key: str, value: str) -> None:
    change(database, "DELETE FROM study_user_attributes WHERE key = ?", key)
    change(
        database,
        "INSERT INTO study_user_attributes (study_id, key, value_json) VALUES (1, ?, ?)",
        key,
        value,
    )
    said = problem(database)
    assert "damaged" in said if value == "{" else f"small: {key}=" in said


@pytest.mark.parametrize("key", ["outcome", "point", "runs", "steps", "owner", "scores"])
def test_attributes_of_a_trial_of_another_version_are_named(database: Path, key: str) -> None:
    study = optuna.load_study(study_name="small", storage=f"sqlite:///{database}")
    study._storage.set_trial_user_attr(1, key, ["new"])
    assert f"{key}=['new'] of trial 0" in problem(database)


def test_a_disk_without_locks_is_not_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, **more: object) -> None:
        raise LocksUnsupported(f"{path}: this file system has no file locks.")

    monkeypatch.setattr("mtl.study.storage.exclusive", refuse)
    with (
        pytest.raises(RunError, match="Put --storage on a file system with locks"),
        storage_lock(f"sqlite:///{tmp_path}/study.db"),
    ):
        pass


def test_a_storage_below_a_file_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(RunError, match="cannot be locked"),
        storage_lock(f"sqlite:///{tmp_path}/file/study.db"),
    ):
        pass
