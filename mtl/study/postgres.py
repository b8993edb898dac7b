"""Connections to PostgreSQL that give up: a server that does not answer must not hang a study."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import URL

ANSWER_SECONDS = 15.0
"""The longest wait for an answer. The server's own limit does not help if the server hangs."""
CONNECT_SECONDS = 5
"""The longest wait for a connection."""


def connector(url: URL) -> Callable[[], Any]:
    """A function that connects, for SQLAlchemy. The wait for each answer ends in an error."""
    import psycopg

    class Connection(psycopg.Connection[Any]):
        def wait(self, gen: Generator[Any, Any, Any], *given: Any, **more: Any) -> Any:
            return super().wait(_until(gen, self._give_up), *given, **more)

        def _give_up(self) -> None:
            self.pgconn.finish()  # so that no pool gives it out again
            raise psycopg.OperationalError(f"no answer for {ANSWER_SECONDS:g} s.")

    words, keywords = url.get_dialect()().create_connect_args(url)
    return lambda: Connection.connect(*words, **{"connect_timeout": CONNECT_SECONDS, **keywords})


def _until(steps: Generator[Any, Any, Any], give_up: Callable[[], None]) -> Any:
    """The same steps of waiting for a socket; `give_up` is called after `ANSWER_SECONDS`."""
    deadline = time.monotonic() + ANSWER_SECONDS
    try:
        asked = next(steps)
        while True:
            ready = yield asked
            if time.monotonic() > deadline:
                give_up()
            asked = steps.send(ready)
    except StopIteration as end:
        return end.value
