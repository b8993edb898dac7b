"""The hub's data becomes course files, read from a mirror; faults are named."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from mtl.data.course.files import read_course
from mtl.data.hub import fetch_hub
from mtl.data.load import load_rows
from mtl.data.rows import fingerprint
from mtl.errors import DataError
from mtl.tasks.registry import TASKS
from mtl.tasks.task import SPLITS
from tests.hub_tools import PAIRS, SST, as_lines, datasets, hub, mirror, own_cache

__all__ = ["hub", "mirror", "own_cache"]


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
    (mirror / "nyu-mll" / "glue" / TASKS["quora"].course.hub.files["validation"]).write_bytes(
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
