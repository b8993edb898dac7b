"""A small W&B server for tests: the real client logs, resumes, syncs and reads back with it.

It listens on 127.0.0.1 only, and keeps the data in memory. It can refuse every call, or die between
two calls. An unknown call gets an error and is noted in `unknown`, which tests check.
"""

from __future__ import annotations

import gzip
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self
from urllib.parse import quote, unquote

ENTITY = "tester"
API_KEY = "0123456789" * 4


@dataclass(kw_only=True)
class PeerRun:
    """The data of one run. `config` has plain values, `history` one dictionary per line."""

    project: str
    config: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    group: str | None = None
    job_type: str | None = None
    name: str | None = None
    streams: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    exit_code: int | None = None

    @property
    def history(self) -> list[dict[str, Any]]:
        """The logged lines, in order, each with its `_step`."""
        return [json.loads(line) for line in self.streams.get("wandb-history.jsonl", [])]

    @property
    def summary(self) -> dict[str, Any]:
        """The last summary that was sent."""
        lines = self.streams.get("wandb-summary.json", [])
        return json.loads(lines[-1]) if lines else {}

    def stream(self, name: str, offset: int, content: list[str]) -> None:
        """Write lines at an offset, as the server does: replace later lines, keep earlier ones."""
        lines = self.streams.setdefault(name, [])
        lines[offset : offset + len(content)] = content


class Peer:
    """The server: `with Peer() as peer:` serves at `peer.url` and fills `peer.runs` by run id."""

    def __init__(self, refuse: Literal["error", "close"] | None = None) -> None:
        self.refuse = refuse
        self.runs: dict[str, PeerRun] = {}
        self.calls: list[str] = []
        self.unknown: list[str] = []
        self.bytes_received = b""
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.die()

    def die(self) -> None:
        """Crash: refuse new connections, and drop open ones at their next call."""
        self.refuse = "close"
        self._server.shutdown()
        self._server.server_close()

    def environ(self) -> dict[str, str]:
        """The variables that point the client here."""
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": API_KEY}

    def graphql(self, body: dict[str, Any]) -> dict[str, Any]:
        """Answer one GraphQL call by the name of its operation."""
        query, given = body["query"], body.get("variables") or {}
        name = query.replace("#graphql", "").split("(")[0].split("{")[0].split()[-1]
        with self._lock:
            self.calls.append(name)
            match name:
                case "Viewer" | "GetDefaultEntity":
                    data: dict[str, Any] = {"viewer": _viewer()}
                case "RunResumeStatus":
                    data = {"model": self._resume_status(given)}
                case "UpsertBucket":
                    data = {"upsertBucket": self._upsert(given)}
                case "CreateRunFiles":
                    data = {"createRunFiles": self._upload_urls(given)}
                case "Run":
                    data = {"project": {"run": self._read(given["name"])}}
                case "RunStoppedStatus":
                    data = {"project": {"run": {"stopped": False}}}
                case "ServerInfo":
                    data = {"serverInfo": {"features": []}}
                case _:
                    self.unknown.append(name)
                    return {"errors": [{"message": f"the test peer does not know {name}"}]}
        return {"data": data}

    def file_stream(self, run_id: str, body: dict[str, Any]) -> dict[str, Any]:
        """Take a piece of history, summary or log lines."""
        with self._lock:
            self.calls.append("file_stream")
            run = self.runs[run_id]
            for name, piece in (body.get("files") or {}).items():
                run.stream(name, piece["offset"], piece["content"])
            if body.get("complete"):
                run.exit_code = body["exitcode"]
        return {"exitcode": None, "limits": {}}

    def upload(self, run_id: str, name: str, content: bytes) -> None:
        with self._lock:
            self.calls.append("upload")
            self.runs[run_id].files[name] = content

    def _upsert(self, given: dict[str, Any]) -> dict[str, Any]:
        run_id = given["name"]
        inserted = run_id not in self.runs
        run = self.runs.setdefault(run_id, PeerRun(project=given["project"]))
        if given.get("config"):
            run.config |= {key: item["value"] for key, item in json.loads(given["config"]).items()}
        run.tags = given.get("tags") or run.tags
        run.group = given.get("groupName") or run.group
        run.job_type = given.get("jobType") or run.job_type
        run.name = given.get("displayName") or run.name
        return {"bucket": self._bucket(run_id), "inserted": inserted}

    def _bucket(self, run_id: str) -> dict[str, Any]:
        run = self.runs[run_id]
        project = {"id": "P", "name": run.project, "entity": {"id": "E", "name": ENTITY}}
        return {
            "id": f"storage-{run_id}",
            "name": run_id,
            "displayName": run.name or run_id,
            "description": None,
            "config": None,
            "sweepName": None,
            "project": project,
            "historyLineCount": len(run.history),
        }

    def _resume_status(self, given: dict[str, Any]) -> dict[str, Any]:
        model = {
            "id": "P",
            "name": given["project"],
            "entity": {"id": "E", "name": ENTITY},
            "bucket": None,
        }
        run = self.runs.get(given["name"])
        if run is None:
            return model
        lines = run.streams.get("wandb-history.jsonl", [])
        model["bucket"] = self._bucket(given["name"]) | {
            "summaryMetrics": json.dumps(run.summary),
            "logLineCount": 0,
            "historyLineCount": len(lines),
            "eventsLineCount": 0,
            "historyTail": json.dumps(lines[-1:]),
            "eventsTail": "[]",
            "config": json.dumps({key: {"value": value} for key, value in run.config.items()}),
            "tags": run.tags,
            "notes": None,
            "wandbConfig": "{}",
        }
        return model

    def _upload_urls(self, given: dict[str, Any]) -> dict[str, Any]:
        run_id = given["run"]
        files = [
            {"name": name, "uploadUrl": f"{self.url}/upload/{run_id}/{quote(name)}"}
            for name in given["files"]
        ]
        return {"runID": f"storage-{run_id}", "uploadHeaders": [], "files": files}

    def _read(self, run_id: str) -> dict[str, Any] | None:
        run = self.runs.get(run_id)
        if run is None:
            return None
        return self._bucket(run_id) | {
            "projectId": "1",
            "tags": run.tags,
            "state": "finished",
            "group": run.group,
            "jobType": run.job_type,
            "config": json.dumps({key: {"value": value} for key, value in run.config.items()}),
            "commit": None,
            "readOnly": False,
            "createdAt": "2024-01-01T00:00:00",
            "heartbeatAt": None,
            "notes": None,
            "systemMetrics": "{}",
            "summaryMetrics": json.dumps(run.summary),
            "historyKeys": None,
            "user": {"name": ENTITY, "username": ENTITY},
        }


def _viewer() -> dict[str, Any]:
    teams = {"edges": [{"node": {"name": ENTITY}}]}
    return {
        "id": "U",
        "entity": ENTITY,
        "username": ENTITY,
        "email": "",
        "flags": "{}",
        "teams": teams,
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that hang up: tests kill them."""


def _handler(peer: Peer) -> type[BaseHTTPRequestHandler]:
    """A request handler class that answers for `peer`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self._body()
            if self._refused():
                return
            if self.path == "/graphql":
                self._answer(peer.graphql(json.loads(body)))
            elif self.path.endswith("/file_stream"):
                self._answer(peer.file_stream(self.path.split("/")[-2], json.loads(body)))
            else:
                peer.unknown.append(f"POST {self.path}")
                self._answer({}, 404)

        def do_PUT(self) -> None:
            body = self._body()
            if self._refused():
                return
            _, _, run_id, name = self.path.split("/", 3)
            peer.upload(run_id, unquote(name), body)
            self._answer({})

        def do_GET(self) -> None:
            peer.unknown.append(f"GET {self.path}")
            self._answer({}, 404)

        def _body(self) -> bytes:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            peer.bytes_received += body
            return body

        def _refused(self) -> bool:
            if peer.refuse == "close":
                self.close_connection = True
                self.connection.close()
            elif peer.refuse == "error":
                self._answer({"error": "refused by the test peer"}, 500)
            return peer.refuse is not None

        def _answer(self, value: dict[str, Any], status: int = 200) -> None:
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Keep the tests' output quiet."""

    return Handler
