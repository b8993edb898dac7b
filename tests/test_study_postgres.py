"""Two coordinators on one study in PostgreSQL: every trial is run once."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from mtl.errors import masked
from mtl.study.storage import open_storage
from mtl.study.trials import COUNTED_ONCE, OUTCOME, OWNER
from tests.study_tools import write_study
from tests.test_study_kills import assert_a_dashboard_opens, start

TRIALS = 40


def binary(name: str) -> str | None:
    """A program of the server: Debian keeps them out of the path."""
    there = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(there[-1]) if there else None)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of its own on loopback, and its URL."""
    pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    initdb, postgres = binary("initdb"), binary("postgres")
    if initdb is None or postgres is None:
        pytest.skip("no PostgreSQL server here; on Debian: apt-get install postgresql")
    # The server refuses to be root; tests in a container often are.
    account = (
        {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
    )
    folder = Path("/tmp") / f"mtl-postgres-{os.getpid()}"
    folder.mkdir(mode=0o700)
    if account:
        shutil.chown(folder, "postgres", "postgres")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": "/", **account}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = None
    try:
        data = str(folder / "data")
        subprocess.run([initdb, "-D", data, "-U", "mtl", "-A", "trust", "-N"], check=True, **quiet)  # type: ignore[call-overload]
        process = subprocess.Popen(  # type: ignore[call-overload]
            [postgres, "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", str(folder), "-F"],
            **quiet,
        )
        wait_for(port)
        yield f"postgresql+psycopg://mtl:secret@127.0.0.1:{port}/postgres"
    finally:
        if process is not None:
            process.send_signal(signal.SIGINT)  # without waiting for those who are connected
            process.wait(timeout=30)
        shutil.rmtree(folder)


def wait_for(port: int) -> None:
    import time

    import psycopg

    for _ in range(100):
        try:
            psycopg.connect(f"host=127.0.0.1 port={port} user=mtl dbname=postgres").close()
            return
        except psycopg.OperationalError:
            time.sleep(0.1)
    raise TimeoutError("PostgreSQL did not start")


@pytest.mark.timeout(200)
def test_two_coordinators_run_every_trial_once(
    server: str, tiny_data: Path, tmp_path: Path
) -> None:
    import optuna

    study = write_study(
        tmp_path / "shared.yaml",
        tiny_data,
        budget={"trials": TRIALS},
        fresh=2,
        first=[{"train.lr": 1e-4, "freeze.unfrozen": 2}],
    )
    runs = tmp_path / "runs"
    both = [start(study, runs, server) for _ in range(2)]
    said = [process.communicate(timeout=180)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said

    loaded = optuna.load_study(study_name="shared", storage=open_storage(server))
    ended = [one for one in loaded.trials if one.user_attrs[OUTCOME] in COUNTED_ONCE]
    assert len(ended) == TRIALS
    assert all(one.user_attrs[OUTCOME] in (*COUNTED_ONCE, "surplus") for one in loaded.trials)
    owners = Counter(one.user_attrs[OWNER] for one in ended)
    assert len(owners) == 2
    assert min(owners.values()) >= TRIALS / 8
    ends = (runs / "ends.log").read_text().split()
    assert len(ends) == len(set(ends)), "a run was trained to its end twice"
    done = [
        one
        for one in ended
        if one.user_attrs[OUTCOME] == "done" and "same_as" not in one.user_attrs
    ]
    assert len(ends) == len(done) + 2  # and the best on two fresh seeds
    assert len([one for one in ended if one.user_attrs.get("first")]) == 1
    assert_a_dashboard_opens(server, "shared")


def test_a_server_that_does_not_answer_is_an_error(
    server: str, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    import psycopg

    from mtl.errors import RunError
    from mtl.study import postgres
    from mtl.study.storage import storage_errors

    storage = open_storage(server)
    with psycopg.connect(server.replace("+psycopg", "")) as connection:
        rows = connection.execute("SELECT pid FROM pg_stat_activity WHERE datname IS NOT NULL")
        others = {int(pid) for (pid,) in rows} - {connection.info.backend_pid}
        stat = Path(f"/proc/{connection.info.backend_pid}/stat").read_text()
        main = int(stat.rpartition(")")[2].split()[1])
    monkeypatch.setattr(postgres, "ANSWER_SECONDS", 1.0)
    began = time.monotonic()
    for pid in (main, *others):
        os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(RunError, match="once the storage works"), storage_errors(server):
            storage.get_all_studies()
    finally:
        for pid in (*others, main):
            os.kill(pid, signal.SIGCONT)
    assert time.monotonic() - began < 30
    open_storage(server).get_all_studies()


def test_a_password_is_not_shown() -> None:
    assert (
        masked("postgresql+psycopg://mtl:secret@here:5432/db")
        == "postgresql+psycopg://mtl:***@here:5432/db"
    )
    assert masked("sqlite:///study.db") == "sqlite:///study.db"
