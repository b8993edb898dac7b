"""The hub's data becomes plain course files: from a mirror, over HTTP, or else with a clear message."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mtl.cache import cache_folder
from mtl.commands.data import data
from mtl.data.course.files import read_course
from mtl.data.hub import fetch_hub
from mtl.data.load import load_rows
from mtl.data.rows import fingerprint
from mtl.errors import DataError
from mtl.tasks.registry import SPLITS, TASKS

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
    for source, content in ((TASKS["sst"].hub, as_lines(SST).encode()), (TASKS["sts"].hub, packed)):
        (root / source.repository).mkdir(parents=True)
        for name in source.files.values():
            (root / source.repository / name).write_bytes(content)
    (root / "nyu-mll" / "glue" / "qqp").mkdir(parents=True)
    columns = dict(
        zip(("question1", "question2", "label", "idx"), zip(*QUESTIONS, strict=True), strict=True)
    )
    table = datasets.Dataset.from_dict({name: list(values) for name, values in columns.items()})
    table = table.cast_column("label", datasets.ClassLabel(names=["not_duplicate", "duplicate"]))
    for name in TASKS["quora"].hub.files.values():
        table.to_parquet(root / "nyu-mll" / "glue" / name)
    return root


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("MTL_HUB_MIRROR", raising=False)


def test_a_mirror_becomes_course_files_that_the_reader_takes(tmp_path: Path, mirror: Path) -> None:
    paths = fetch_hub(tmp_path / "out", ["sst", "quora", "sts"], mirror=mirror)
    assert [path.name for path in paths] == [
        task.file_name(split) for task in TASKS.values() for split in SPLITS
    ]
    sst = read_course(tmp_path / "out", TASKS["sst"], "dev")
    assert sst.ids == ["sst5-dev-0", "sst5-dev-1"]
    assert sst.first == [SST[0]["text"], SST[1]["text"]]
    assert sst.labels is not None
    assert sst.labels.tolist() == [4.0, 1.0]
    sts = read_course(tmp_path / "out", TASKS["sts"], "test")
    assert sts.ids == ["stsb-test-0", "stsb-test-1"]
    assert sts.second == ["A dog is swimming .", "A boat sinks ."]
    assert sts.labels is not None
    assert sts.labels.tolist() == [4.75, 0.0]


def test_dev_and_test_of_quora_are_the_even_and_odd_rows_of_the_labelled_validation_split(
    tmp_path: Path, mirror: Path
) -> None:
    fetch_hub(tmp_path / "out", ["quora"], mirror=mirror)
    parts = {split: read_course(tmp_path / "out", TASKS["quora"], split) for split in SPLITS}
    assert parts["train"].ids == [f"qqp-train-{n}" for n in (0, 1, 3, 4)]
    assert parts["dev"].ids == ["qqp-validation-0", "qqp-validation-4"]
    assert parts["test"].ids == ["qqp-validation-1", "qqp-validation-3"]
    assert parts["test"].first == ["Is snow cold ?", "How wet is rain ?"]
    assert parts["dev"].labels is not None
    assert parts["dev"].labels.tolist() == [1.0, 1.0]


def test_rows_that_break_the_rules_are_left_out_counted_and_named(
    tmp_path: Path, mirror: Path
) -> None:
    fetch_hub(tmp_path / "out", ["sst", "quora"], mirror=mirror)
    files = json.loads((tmp_path / "out" / "fetched.json").read_text())["files"]
    assert {name: (entry["rows"], entry["left_out"]) for name, entry in files.items()} == {
        "ids-sst-train.csv": (2, 1), "ids-sst-dev.csv": (2, 1), "ids-sst-test.csv": (2, 1),
        "quora-train.csv": (4, 1), "quora-dev.csv": (2, 1), "quora-test.csv": (2, 0),
    }  # fmt: skip
    [first] = files["quora-dev.csv"]["left_out_first"]
    assert first.startswith(
        "qqp-validation-2: column 'sentence2': expected a sentence, the cell is empty"
    )


def test_the_fingerprint_written_down_is_that_of_the_rows_read_back(
    tmp_path: Path, mirror: Path
) -> None:
    fetch_hub(tmp_path / "out", ["sts"], mirror=mirror)
    entry = json.loads((tmp_path / "out" / "fetched.json").read_text())["files"]["sts-train.csv"]
    assert (
        entry["fingerprint"] == read_course(tmp_path / "out", TASKS["sts"], "train").fingerprint()
    )
    assert entry["source"] == "mteb/stsbenchmark-sts"
    assert entry["revision"] is None


def test_hub_data_is_fetched_once_and_then_read_without_the_mirror(
    mirror: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MTL_HUB_MIRROR", str(mirror))
    first = load_rows("hub", ["sts"], ["train", "dev"])
    assert "sts: reading train" in capsys.readouterr().err
    monkeypatch.delenv("MTL_HUB_MIRROR")
    again = load_rows("hub", ["sts"], ["train", "dev"])
    assert fingerprint(again) == fingerprint(first)
    assert capsys.readouterr().err == ""


def test_a_mirror_that_changed_is_read_anew(tmp_path: Path, mirror: Path) -> None:
    fetch_hub(tmp_path / "out", ["sst"], mirror=mirror)
    (mirror / "SetFit" / "sst5" / "dev.jsonl").write_text(
        as_lines([{"text": "It dried up .", "label": 0}])
    )
    fetch_hub(tmp_path / "out", ["sst"], mirror=mirror)
    assert read_course(tmp_path / "out", TASKS["sst"], "dev").first == ["It dried up ."]


def test_a_mirror_may_hold_other_formats_and_several_pieces(tmp_path: Path, mirror: Path) -> None:
    folder = mirror / "mteb" / "stsbenchmark-sts"
    (folder / "train.jsonl.gz").unlink()
    for piece, row in enumerate(PAIRS):
        datasets.Dataset.from_list([row]).to_parquet(folder / f"train-{piece:05d}-of-00002.parquet")
    fetch_hub(tmp_path / "out", ["sts"], mirror=mirror)
    assert read_course(tmp_path / "out", TASKS["sts"], "train").first == [
        "A dog swims .",
        "A cat sleeps .",
    ]


def test_files_of_the_user_are_never_overwritten(tmp_path: Path, mirror: Path) -> None:
    own = tmp_path / "out" / "sts-dev.csv"
    own.parent.mkdir()
    own.write_text("mine")
    with pytest.raises(
        DataError, match="holds sts-dev.csv, which did not come from the hub. Nothing was changed"
    ):
        fetch_hub(tmp_path / "out", ["sst", "sts"], mirror=mirror)
    assert [path.name for path in own.parent.iterdir()] == ["sts-dev.csv"]
    assert own.read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("dev.jsonl", None, "the mirror has no dev.jsonl"),
        ("dev.jsonl", b"", "cannot read it: it holds no rows"),
        ("dev.jsonl", b'{"text": "It rains .", "label"', "cannot read it: "),
        (
            "dev.jsonl",
            b'{"sentence": "It rains .", "label": 1}\n',
            "column 'text': expected, the file has only",
        ),
        (
            "dev.jsonl",
            b'{"text": "It rains .", "label": -1}\n',
            "SetFit/sst5 dev: no usable row for dev. sst5-dev-0",
        ),
        ("dev.parquet", b"PAR1", "are of two formats"),
    ],
)
def test_a_damaged_mirror_is_named_by_its_file(
    tmp_path: Path, mirror: Path, name: str, content: bytes | None, words: str
) -> None:
    path = mirror / "SetFit" / "sst5" / name
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as error:
        fetch_hub(tmp_path / "out", ["sst"], mirror=mirror)
    assert words in str(error.value)
    assert "dev" in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_broken_parquet_file_is_a_message(tmp_path: Path, mirror: Path) -> None:
    (mirror / "nyu-mll" / "glue" / TASKS["quora"].hub.files["validation"]).write_bytes(
        b"not parquet at all"
    )
    with pytest.raises(DataError, match="validation-00000-of-00001.parquet: cannot read it"):
        fetch_hub(tmp_path / "out", ["quora"], mirror=mirror)


def test_a_mirror_that_is_no_folder_is_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="nowhere: the mirror is not a folder"):
        fetch_hub(tmp_path / "out", ["sst"], mirror=tmp_path / "nowhere")
    monkeypatch.setenv("MTL_HUB_MIRROR", str(tmp_path / "elsewhere"))
    with pytest.raises(DataError, match="elsewhere: MTL_HUB_MIRROR is not a folder"):
        fetch_hub(tmp_path / "out", ["sst"])


def test_without_the_extra_package_the_message_names_the_install(
    tmp_path: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(
        DataError, match=r"needs the package 'datasets'.*pip install 'mtl-ablate\[hub\]'"
    ):
        fetch_hub(tmp_path / "out", ["sst"], mirror=mirror)


# The network: a small server on loopback that answers as the hub does, met by the real client in its own process,
# because the client reads its endpoint when it is imported.
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


COMMAND = """
import sys
from mtl.commands.data import data
from mtl.errors import MtlError
try:
    data(["fetch", *sys.argv[1:]], standalone_mode=False)
except MtlError as error:
    sys.exit(str(error))
"""


def fetch_in_own_process(
    tmp_path: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    drop = ("HF_", "XDG_CACHE_HOME")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(drop)}
    return subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments],
        cwd=Path(__file__).resolve().parents[1],
        env={
            **inherited,
            "HOME": str(home),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_files_come_over_http_and_nothing_is_left_outside_the_cache_folder(
    tmp_path: Path, hub: tuple[str, type[Hub]]
) -> None:
    done = fetch_in_own_process(tmp_path, "--json", HF_ENDPOINT=hub[0])
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["folder"] == str(tmp_path / "cache" / "hub")
    assert len(found["files"]) == 9
    assert found["files"]["sts-dev.csv"]["revision"] == TASKS["sts"].hub.revision
    assert len(read_course(tmp_path / "cache" / "hub", TASKS["quora"], "train")) == 4
    assert "sst: reading train from the hub's SetFit/sst5" in done.stderr
    outside = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert outside == []
    assert list((tmp_path / "cache" / "datasets").iterdir()) == []


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_by_the_server_is_one_message_with_the_remedy(
    tmp_path: Path, hub: tuple[str, type[Hub]], status: int
) -> None:
    hub[1].status = status
    done = fetch_in_own_process(tmp_path, "--tasks", "sst", HF_ENDPOINT=hub[0])
    assert done.returncode == 1
    assert "Cannot download train.jsonl of the hub's dataset SetFit/sst5" in done.stderr
    assert "--mirror FOLDER or MTL_HUB_MIRROR=FOLDER" in done.stderr
    assert "Traceback" not in done.stderr


def test_being_offline_is_one_message_with_the_remedy(tmp_path: Path) -> None:
    done = fetch_in_own_process(tmp_path, "--tasks", "sts", HF_HUB_OFFLINE="1")
    assert done.returncode == 1
    assert (
        "Cannot download train.jsonl.gz of the hub's dataset mteb/stsbenchmark-sts" in done.stderr
    )
    assert "MTL_HUB_MIRROR=FOLDER" in done.stderr
    assert "Traceback" not in done.stderr


# The command and the cache folder.
def test_fetch_prints_what_it_wrote(tmp_path: Path, mirror: Path) -> None:
    out = tmp_path / "out"
    result = CliRunner().invoke(
        data, ["fetch", "--output", str(out), "--mirror", str(mirror), "--tasks", "sst"]
    )
    assert result.exit_code == 0, result.output
    entry = json.loads((out / "fetched.json").read_text())["files"]["ids-sst-dev.csv"]
    line = next(line.split() for line in result.stdout.splitlines() if "ids-sst-dev.csv" in line)
    assert line == ["ids-sst-dev.csv", "SetFit/sst5", "2", "1", entry["fingerprint"]]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"MTL_CACHE": "/a/b", "XDG_CACHE_HOME": "/x"}, "/a/b"),
        ({"MTL_CACHE": "~/b", "XDG_CACHE_HOME": "/x"}, "/home/someone/b"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/mtl"),
        ({"XDG_CACHE_HOME": "relative"}, "/home/someone/.cache/mtl"),
        ({}, "/home/someone/.cache/mtl"),
    ],
)
def test_the_cache_folder_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str
) -> None:
    for name in ("MTL_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/someone", **environment}.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected)
