"""Tasks whose data is on the hub, read from a mirror."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mtl.data.rows import Rows
from mtl.errors import DataError
from mtl.tasks.task import Split
from tests.table_tools import DEV, TRAIN, Lines, put, read, rows_of, task_of

datasets = pytest.importorskip("datasets")
COMMIT = "a" * 40


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("MTL_HUB_MIRROR", raising=False)


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MTL_HUB_MIRROR", str(tmp_path / "mirror"))
    folder = tmp_path / "mirror" / "me" / "set"
    folder.mkdir(parents=True)
    return folder


def hub(folder: Path, **data: Any) -> dict[Split, Rows]:
    return read(task_of(folder, data={"path": "me/set", "id": "key"} | data))


def fill(folder: Path, train: Lines = TRAIN, validation: Lines = DEV, test: Lines = DEV) -> None:
    for name, lines in (("train", train), ("validation", validation), ("test", test)):
        put(folder, name, lines, "json")


def test_the_hub_needs_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MTL_HUB_MIRROR", raising=False)
    for revision in ({}, {"revision": "main"}):
        task = task_of(tmp_path, data={"path": "me/set", **revision})
        with pytest.raises(DataError) as error:
            read(task)
        (line,) = str(error.value).splitlines()
        assert line.startswith("task mine: data.revision: expected a commit of me/set (40 digits)")
        assert ("got 'main'" in line) == bool(revision)
        assert "The hub was not reached" in line


def test_a_mirror_gives_the_rows_of_the_files(tmp_path: Path, mirror: Path) -> None:
    fill(mirror)
    rows = hub(tmp_path, revision=COMMIT)
    assert {split: part.ids for split, part in rows.items()} == {
        "train": ["a", "b", "c"], "dev": ["d", "e"], "test": ["d", "e"]
    }  # fmt: skip
    assert rows["dev"].fingerprint() == rows_of(tmp_path, DEV).fingerprint()


def test_a_changed_mirror_is_read_again(tmp_path: Path, mirror: Path) -> None:
    fill(mirror)
    assert hub(tmp_path)["dev"].first == ["a fish", "a bird"]
    fill(mirror, validation=[line | {"body": "A BIRD"} for line in DEV])
    os.utime(mirror / "validation.jsonl", (1e9, 1e9))
    assert hub(tmp_path)["dev"].first == ["A BIRD", "A BIRD"]


def test_a_subset_is_a_folder_of_the_mirror(tmp_path: Path, mirror: Path) -> None:
    for name, body in (("one", "first"), ("two", "second")):
        (mirror / name).mkdir()
        fill(mirror / name, validation=[line | {"body": body} for line in DEV])
    assert hub(tmp_path, name="two")["dev"].first == ["second", "second"]


def test_class_labels_of_the_hub_are_words_or_numbers_and_minus_one_is_hidden(
    tmp_path: Path, mirror: Path
) -> None:
    names = datasets.ClassLabel(names=["sky", "sea"])
    for name, lines in (("train", TRAIN), ("validation", DEV), ("test", DEV)):
        columns = {key: [line[key] for line in lines] for key in ("key", "body")}
        numbers = [-1 if name == "test" else ["sky", "sea"].index(line["topic"]) for line in lines]
        table = datasets.Dataset.from_dict(columns | {"topic": numbers})
        table.cast_column("topic", names).to_parquet(mirror / f"{name}.parquet")
    words, numbered = {}, {}
    for found, labels in ((words, ["sea", "sky"]), (numbered, {"1": "sea", "0": "sky"})):
        task = task_of(tmp_path, data={"path": "me/set", "id": "key"}, labels=labels)
        found.update({split: part.labels for split, part in read(task).items()})
    for found in (words, numbered):
        assert found["dev"].tolist() == [0.0, 1.0]
        assert found["train"].tolist() == [0.0, 1.0, 1.0]
        assert found["test"] is None


def test_bad_rows_of_all_splits_are_one_error(tmp_path: Path, mirror: Path) -> None:
    fill(mirror, validation=[DEV[0] | {"topic": "skye"}], test=[DEV[0] | {"body": ""}])
    with pytest.raises(DataError) as error:
        hub(tmp_path)
    lines = [line for line in str(error.value).splitlines() if not line.startswith("Fix")]
    assert [line.split(": expected")[0] for line in lines] == [
        "me/set validation: row 0: column 'topic'", "me/set test: row 0: column 'body'"
    ]  # fmt: skip


def test_an_unknown_split_is_named_with_the_nearest(tmp_path: Path, mirror: Path) -> None:
    fill(mirror)
    with pytest.raises(DataError, match="Did you mean 'validation'?"):
        hub(tmp_path, splits={"dev": "validatoin"})


def test_a_missing_copy_is_one_line(tmp_path: Path, mirror: Path) -> None:
    with pytest.raises(DataError) as error:
        hub(tmp_path)
    (line,) = str(error.value).splitlines()
    assert line.startswith(f"task mine: {mirror}: cannot be read: ")


def test_without_a_network_the_remedy_is_a_mirror(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        hub(tmp_path, revision=COMMIT)
    (line,) = str(error.value).splitlines()
    assert line.endswith("or copy it to FOLDER/me/set and set MTL_HUB_MIRROR=FOLDER.")


def test_without_the_package_the_error_says_what_to_install(
    tmp_path: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"pip install 'mtl-ablate\[hub\]'"):
        hub(tmp_path)


class Api(BaseHTTPRequestHandler):
    """Answers what the hub's API says of a data set."""

    def do_GET(self) -> None:
        body = json.dumps({"id": "me/set", "sha": "b" * 40, "siblings": []}).encode()
        known = self.path.split("?")[0].startswith("/api/datasets/me/set")
        self.send_response(200 if known else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("revision", ["", "  revision: main\n"])
def test_the_present_commit_of_the_hub_is_named(tmp_path: Path, revision: str) -> None:
    (tmp_path / "mine.yaml").write_text(
        "task: mine\ntask_type: regression\ntext: body\nlabel: score\nmetric: rmse\n"
        f"data:\n  path: me/set\n{revision}"
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "mtl", "tasks", "check", "mine.yaml"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
            env=os.environ | {
                "HF_ENDPOINT": f"http://127.0.0.1:{server.server_address[1]}",
                "HF_HUB_OFFLINE": "0", "PYTHONPATH": str(Path(__file__).resolve().parents[1]),
            },
        )  # fmt: skip
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"The present commit is {'b' * 40}. Write it: revision: {'b' * 40}." in line
