"""Course folders: finding and loading files, writing them, and the course's real files."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mtl.data.course.files import read_course
from mtl.data.course.write import write_course
from mtl.data.load import load_rows
from mtl.data.rows import Rows
from mtl.errors import DataError
from mtl.tasks.registry import TASKS
from mtl.tasks.task import SPLITS, TaskName
from tests.course_tools import QUORA, SST, STS, put

COURSE = Path(__file__).resolve().parents[2] / "shared" / "data" / "cs224n"


# Folders.
def test_a_missing_folder_is_named_with_its_nearest_neighbour(tmp_path: Path) -> None:
    (tmp_path / "course").mkdir()
    with pytest.raises(DataError) as error:
        read_course(tmp_path / "corse", SST, "dev")
    assert str(error.value) == (
        f"{tmp_path}/corse: no such folder. Did you mean 'course'? Expected a folder with "
        "ids-sst-dev.csv."
    )


def test_a_missing_file_is_named_with_what_is_there_and_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "ids-sst-dev.tsv").touch()
    with pytest.raises(DataError) as error:
        read_course(tmp_path, SST, "dev")
    assert str(error.value).splitlines() == [
        f"{tmp_path}/ids-sst-dev.csv: no such file. Did you mean 'ids-sst-dev.tsv'? Rename it.",
        f"{tmp_path} holds ids-sst-dev.tsv.",
    ]


def test_files_in_a_folder_below_are_found(tmp_path: Path) -> None:
    (tmp_path / "cs224n").mkdir()
    put(tmp_path / "cs224n", "sst", "0\ta\tIt rains .\t3\n")
    with pytest.raises(DataError, match=f"{tmp_path}/cs224n has ids-sst-dev.csv: name that folder"):
        read_course(tmp_path, SST, "dev")


def test_a_file_is_no_folder_and_a_folder_no_file(tmp_path: Path) -> None:
    path = put(tmp_path, "sst", "0\ta\tIt rains .\t3\n")
    with pytest.raises(DataError, match="this is a file. Name its folder"):
        read_course(path, SST, "dev")
    (tmp_path / "sts-dev.csv").mkdir()
    with pytest.raises(DataError, match="sts-dev.csv: no such file"):
        read_course(tmp_path, STS, "dev")


# Loading several files.
def test_the_errors_of_all_files_come_at_once(tmp_path: Path) -> None:
    put(tmp_path, "sst", "0\ta\tIt rains .\t7\n", "train")
    put(tmp_path, "sst", "0\ta\t\t3\n", "dev")
    with pytest.raises(DataError) as error:
        load_rows(str(tmp_path), ["sst"], ["train", "dev"])
    assert re.findall(r"ids-sst-\w+\.csv:2: column '\w+'", str(error.value)) == [
        "ids-sst-train.csv:2: column 'sentiment'",
        "ids-sst-dev.csv:2: column 'sentence'",
    ]


def test_all_missing_files_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        load_rows(str(tmp_path), ["sst", "sts"], ["dev"])
    assert "ids-sst-dev.csv: no such file" in str(error.value)
    assert "sts-dev.csv: no such file" in str(error.value)


def test_a_folder_is_loaded_by_task_and_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "sst", "0\ta\tIt rains .\t3\n")
    put(tmp_path, "sts", "0\tb\tIt rains .\tIt pours .\t4.5\n")
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    rows = load_rows(f"~/{tmp_path.name}", ["sts", "sst"], ["dev"])
    assert list(rows) == [("sts", "dev"), ("sst", "dev")]
    assert rows["sts", "dev"].ids == ["b"]


def test_the_sample_is_loaded_by_name() -> None:
    rows = load_rows("sample", ["sst"], ["dev"])
    assert len(rows["sst", "dev"]) > 0
    assert rows["sst", "dev"].split == "dev"


def test_a_misspelt_name_is_answered_with_the_right_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="Did you mean 'sample'"):
        load_rows("sampel", ["sst"], ["dev"])


# Writing.
NASTY = st.text(
    st.one_of(
        st.sampled_from("\t\n\r\"',;\\ 0\u2028\x85\x1c\ufeffé😀"),
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    ),
    min_size=1,
    max_size=12,
).filter(lambda text: bool(text.strip()))


@st.composite
def any_rows(draw: st.DrawFn) -> Rows:
    task = TASKS[draw(st.sampled_from(["sst", "quora", "sts"]))]
    split = draw(st.sampled_from(SPLITS))
    ids = draw(st.lists(NASTY, min_size=1, max_size=6, unique=True))
    column = st.lists(NASTY, min_size=len(ids), max_size=len(ids))
    number = (
        st.floats(0, 5).map(abs)
        if task.kind == "score"
        else st.integers(int(task.low), int(task.high)).map(float)
    )
    labels = np.array(
        draw(st.lists(number, min_size=len(ids), max_size=len(ids))), dtype=np.float64
    )
    hidden = split == "test" and draw(st.booleans())
    return Rows(
        task=task, split=split, ids=ids,
        first=draw(column), second=draw(column) if task.pair else None,
        labels=None if hidden else labels,
    )  # fmt: skip


def swallowing_look_alike() -> Rows:
    """Sentences that look as if a quote had swallowed the next rows."""
    texts = ["It rains .\n1\tb", "It pours .\n2\tc\n3\td", "x\n4\tt"]
    return Rows(
        task=SST,
        split="dev",
        ids=["a", "b", "c"],
        first=texts,
        second=None,
        labels=np.array([1.0, 2.0, 3.0]),
    )


@settings(max_examples=150, deadline=None)
@given(rows=any_rows())
@example(rows=swallowing_look_alike())
def test_what_is_written_is_read_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, rows: Rows
) -> None:
    folder = tmp_path_factory.mktemp("course")
    path = write_course(folder, rows)
    back = read_course(folder, rows.task, rows.split)
    assert path.name == rows.task.file_name(rows.split)
    assert (back.ids, back.first, back.second) == (rows.ids, rows.first, rows.second)
    assert back.fingerprint() == rows.fingerprint()
    assert [entry.name for entry in folder.iterdir()] == [path.name]


def test_a_written_file_is_in_the_courses_own_form(tmp_path: Path) -> None:
    rows = Rows(
        task=SST, split="dev", ids=["a1"],
        first=['It "rains" .'], second=None, labels=np.array([3.0])
    )  # fmt: skip
    path = write_course(tmp_path / "new" / "folder", rows)
    assert path.read_bytes() == b'\tid\tsentence\tsentiment\n0\ta1\t"It ""rains"" ."\t3\n'


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"first": ["It rains .", " "]}, "row 1: column 'sentence': expected a sentence"),
        ({"first": ["It rains .", "\0"]}, "row 1: column 'sentence': NUL"),
        ({"first": ["It rains .", "\ud800"]}, "row 1: column 'sentence': half a surrogate pair"),
        ({"ids": ["a", "a"]}, "id 'a' occurs 2 times"),
        ({"labels": np.array([1.0, np.nan])}, "row 1: column 'sentiment'"),
        ({"labels": np.array([1.0, 2.5])}, "row 1: column 'sentiment'"),
        ({"labels": None}, "rows of dev need labels"),
        ({"ids": [], "first": [], "labels": np.zeros(0)}, "there are no rows to write"),
    ],
)
def test_rows_that_could_not_be_read_back_are_not_written(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    values = {
        "ids": ["a", "b"],
        "first": ["It rains .", "It pours ."],
        "labels": np.array([1.0, 2.0]),
        **changes,
    }
    with pytest.raises(DataError, match=re.escape(words)):
        rows = Rows(task=SST, split="dev", second=None, **values)  # type: ignore[arg-type]
        write_course(tmp_path, rows)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_a_message(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    rows = Rows(
        task=SST, split="dev", ids=["a"], first=["It rains ."], second=None, labels=np.array([1.0])
    )
    with pytest.raises(DataError, match="cannot write: "):
        write_course(tmp_path / "file", rows)


# The course's real files, where they are to hand.
SIZES = {"sst": (7257, 1101, 854), "quora": (14096, 2043, 2051), "sts": (5103, 863, 627)}


@pytest.mark.skipif(not COURSE.is_dir(), reason="the course's files are not here")
@pytest.mark.parametrize("task", ["sst", "quora", "sts"])
def test_the_real_files_are_read_strictly_and_as_a_table_library_reads_them(task: TaskName) -> None:
    pandas = pytest.importorskip("pandas")
    for split, size in zip(SPLITS, SIZES[task], strict=True):
        bad = 2 if (task, split) == ("quora", "train") else 0
        rows = read_course(COURSE, TASKS[task], split, on_bad_row="skip" if bad else "error")
        assert len(rows) == size - bad
        assert len(rows.skipped) == bad
        path = COURSE / TASKS[task].file_name(split)
        table = pandas.read_csv(path, sep="\t", index_col=0, dtype=str, keep_default_na=False)
        table = table[table[TASKS[task].label_column] != ""]
        assert rows.first == table[TASKS[task].sentence_columns[0]].tolist()
        assert rows.second is None or rows.second == table["sentence2"].tolist()
        assert rows.ids == table["id"].tolist()


@pytest.mark.skipif(not COURSE.is_dir(), reason="the course's files are not here")
def test_the_two_real_rows_without_a_label_are_left_out_by_line() -> None:
    rows = read_course(COURSE, QUORA, "train")
    assert len(rows) == 14094
    assert [message.split(": ")[0].rsplit(":", 1)[1] for message in rows.skipped] == [
        "1725",
        "9904",
    ]


@pytest.mark.skipif(not COURSE.is_dir(), reason="the course's files are not here")
def test_real_quoted_cells_lose_their_quotes() -> None:
    raw = (COURSE / "quora-dev.csv").read_text(encoding="utf-8").splitlines()[1:]
    rows = read_course(COURSE, QUORA, "dev")
    assert rows.second is not None
    read = zip(rows.first, rows.second, strict=True)
    changed = sum(line.split("\t")[2:4] != list(pair) for line, pair in zip(raw, read, strict=True))
    assert changed == sum('"' in line for line in raw) > 0
