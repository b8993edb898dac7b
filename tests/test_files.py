"""Atomic writes, their temporary names, and errors that name the file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from mtl.files import named, replacing, write_bytes


def test_two_writers_with_one_process_number_do_not_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 7)
    path = tmp_path / "grid.json"
    with replacing(path) as slow:
        slow.write(b"slow, ")
        write_bytes(path, b"quick")
        assert path.read_bytes() == b"quick"
        slow.write(b"whole")
    assert path.read_bytes() == b"slow, whole"
    assert [entry.name for entry in tmp_path.iterdir()] == ["grid.json"]


def test_a_new_file_has_the_permissions_of_an_open(tmp_path: Path) -> None:
    write_bytes(tmp_path / "ours", b"x")
    (tmp_path / "plain").write_bytes(b"x")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "plain")}
    assert len(modes) == 1


def test_a_full_disk_names_the_file_and_keeps_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text("old")
    with pytest.raises(OSError, match="No space left") as caught, replacing(path) as file:
        file.write(b"half")
        raise OSError(28, "No space left on device")
    assert caught.value.filename == str(path)
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_name_that_is_known_stays(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, named(tmp_path / "other"):
        (tmp_path / "absent").read_bytes()
    assert caught.value.filename == str(tmp_path / "absent")


def test_a_name_of_255_bytes_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 127)
    write_bytes(path, b"x")
    assert path.read_bytes() == b"x"
