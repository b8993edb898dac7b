"""Shared by the tests of the hub: a mirror of small repositories."""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mtl.tasks.registry import TASKS

datasets = pytest.importorskip("datasets")
SST = [
    {"text": "The rain was a pleasure .", "label": 4, "label_text": "very positive"},
    {"text": 'He said "dry" ,\nand it was wet .', "label": 1, "label_text": "negative"},
    {"text": "   ", "label": 2, "label_text": "neutral"},
]
QUESTIONS = [
    ("Why does it rain ?", "What makes it rain ?", 1, 0),
    ("Is snow cold ?", "Is fire hot ?", 0, 1),
    ("Where is the umbrella ?", "", 0, 2),
    ("How wet is rain ?", "How dry is sand ?", 0, 3),
    ("When will it clear up ?", "When does the sun come back ?", 1, 4),
]
PAIRS = [
    {"split": "x", "sentence1": "A dog swims .", "sentence2": "A dog is swimming .", "score": 4.75},
    {"split": "x", "sentence1": "A cat sleeps .", "sentence2": "A boat sinks .", "score": 0.0},
]


def as_lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """The three repositories as they are laid out on the hub, with a few sentences each."""
    root = tmp_path / "mirror"
    packed = gzip.compress(as_lines(PAIRS).encode())
    for source, content in (
        (TASKS["sst"].course.hub, as_lines(SST).encode()),
        (TASKS["sts"].course.hub, packed),
    ):
        (root / source.repository).mkdir(parents=True)
        for name in source.files.values():
            (root / source.repository / name).write_bytes(content)
    (root / "nyu-mll" / "glue" / "qqp").mkdir(parents=True)
    columns = dict(
        zip(("question1", "question2", "label", "idx"), zip(*QUESTIONS, strict=True), strict=True)
    )
    table = datasets.Dataset.from_dict({name: list(values) for name, values in columns.items()})
    table = table.cast_column("label", datasets.ClassLabel(names=["not_duplicate", "duplicate"]))
    for name in TASKS["quora"].course.hub.files.values():
        table.to_parquet(root / "nyu-mll" / "glue" / name)
    return root


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("MTL_HUB_MIRROR", raising=False)


# A small server on loopback that answers like the hub. The real client runs in its own process,
# because it reads the hub's address on import.
class Hub(BaseHTTPRequestHandler):
    root: Path
    status = 200

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        repository, _, rest = self.path.removeprefix("/datasets/").partition("/resolve/")
        revision, _, name = rest.partition("/")
        path = self.root / repository / name
        status = self.status if path.is_file() else 404
        content = path.read_bytes() if status == 200 else b""
        self.send_response(status)
        self.send_header("X-Repo-Commit", revision)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        if status == 404:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub(mirror: Path) -> Iterator[tuple[str, type[Hub]]]:
    handler = type("ThisHub", (Hub,), {"root": mirror})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", handler
    server.shutdown()
    thread.join()
    server.server_close()
