"""Hostile input gives one clear error or the right result, in bounded time and memory."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from mtl.cli import main
from tests.cli_tools import mtl, tiny_words
from tests.fault_tools import Tally, flips

pytestmark = pytest.mark.faults

SECONDS = 30
MESSAGE = 20_000
"""Most characters of an error: twenty rows and their advice, or fifty keys."""

Damage = Callable[[bytes], bytes]

SAME: dict[str, Damage] = {
    "a byte-order mark": lambda raw: b"\xef\xbb\xbf" + raw,
    "UTF-16": lambda raw: raw.decode().encode("utf-16"),
    "UTF-32": lambda raw: raw.decode().encode("utf-32"),
    "CRLF": lambda raw: raw.replace(b"\n", b"\r\n"),
    "mixed line ends": lambda raw: raw.replace(b"\n", b"\r\n", 3),
    "no final line end": lambda raw: raw.rstrip(b"\n"),
    "blank lines at the end": lambda raw: raw + b"\n\n\n",
}
"""Damage that changes no row of a table."""

WRONG: dict[str, Damage] = {
    "empty": lambda raw: b"",
    "blank": lambda raw: b"\n \n\n",
    "UTF-16 without mark": lambda raw: raw.decode().encode("utf-16-le"),
    "half a UTF-16 file": lambda raw: raw.decode().encode("utf-16")[:-1],
    "Latin-1": lambda raw: raw.replace(b"the", "thé".encode("latin-1")),
    "CP1252": lambda raw: raw.replace(b"the", "“the”".encode("cp1252")),
    "NUL in cells": lambda raw: raw.replace(b"the", b"th\0e"),
    "CR alone": lambda raw: raw.replace(b"\n", b"\r"),
    "an unpaired quote": lambda raw: raw.replace(b"dev0003\t", b'dev0003\t"'),
    "commas": lambda raw: raw.replace(b"\t", b","),
    "another header": lambda raw: raw.replace(b"sentence", b" Sentence ", 1),
    "a header in capitals": lambda raw: raw.split(b"\n")[0].upper() + raw[raw.index(b"\n") :],
    "no header": lambda raw: raw[raw.index(b"\n") + 1 :],
    "a column twice": lambda raw: raw.replace(b"sentence", b"id", 1),
    "another row's cells": lambda raw: raw + b"1\t2\t3\t4\t5\t6\t7\n",
    "a long line": lambda raw: raw + b"x" * (3 << 20),
    "a long cell": lambda raw: raw + b"99\tq\t" + b"x" * 200_000 + b"\t" + b"y" * 9 + b"\t1\n",
    "escape codes": lambda raw: raw.replace(b"id", b"\x1b[31mid\x1b]0;x\x07", 1),
    "half a surrogate": lambda raw: raw.replace(b"the", b"\xed\xa0\x80"),
    "random bytes": lambda raw: random.Random(0).randbytes(50_000),
    "nested brackets": lambda raw: b'{"sentence": ' + b"[" * 100_000,
    "a picture": lambda raw: b"\x89PNG\r\n\x1a\n" + random.Random(1).randbytes(5000),
}
"""Damage that must be refused."""

YAML: dict[str, bytes] = {
    "keys on a line": b"{" + b", ".join(b"k%d: 1" % i for i in range(20_000)) + b"}",
    "keys": b"".join(b"train.k%d: 1\n" % i for i in range(20_000)),
    "a hex number": b"seed: 0x" + b"f" * 500_000,
    "a number": b"train.lr: " + b"9" * 5000,
    "deep dots": b"a" + b".a" * 300_000 + b": 1",
    "deep lists": b"tasks: " + b"[" * 200_000,
    "deep mappings": b"{a: " * 100_000,
    "a bomb": b"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n",
    "a tag": b"data: !!python/object/apply:os.system ['true']\n",
    "escape codes": b'"\\e[31m\\a\\e]0;x": 1\n',
    "another encoding": "data: é\n".encode("latin-1"),
    "UTF-16": "seed: x\n".encode("utf-16"),
    "NUL": b"seed: \0",
    "two documents": b"seed: 1\n---\nseed: 2\n",
    "a key twice": b"seed: 1\nseed: 2\n",
    "one long word": b"x" * 900_000,
    "large": b"# " + b"x" * (2 << 20),
    "a list": b"- 1\n- 2\n",
    "many tasks": b"tasks: [" + b"sst, " * 50_000 + b"]",
    "random bytes": random.Random(2).randbytes(5000),
}


@pytest.fixture(scope="module")
def run(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run's folder."""
    runs = tmp_path_factory.mktemp("hostile") / "runs"
    done = mtl("train", *tiny_words(tiny_data), "--runs", runs, "--json", "-q")
    return runs / str(json.loads(done.stdout)["run_id"])


def held(*words: str | Path, codes: tuple[int, ...] = (2,)) -> str:
    """What is wrong with a command's end; "" for one clear error, or success among `codes`."""
    started = time.perf_counter()
    result = CliRunner().invoke(main, [str(word) for word in words])
    seconds = time.perf_counter() - started
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return f"traceback: {result.exception!r}"
    if result.exit_code not in codes:
        return f"exit {result.exit_code}: {result.stderr[-200:]}"
    if result.exit_code and "Error: " not in result.stderr:
        return "no error"
    if "\x1b" in result.stderr or len(result.stderr) > MESSAGE:
        return f"a message of {len(result.stderr)} characters"
    return "" if seconds < SECONDS else f"{seconds:.0f} s"


def commands(data: Path, run: Path, path: Path) -> Iterator[tuple[str, tuple[str | Path, ...]]]:
    """The commands that read the course files in `data`, or text at `path`."""
    yield "data check", ("data", "check", data, "--json")
    yield "train", ("train", *tiny_words(data), "--runs", data / "runs", "-q")
    predict = ("predict", run.name, "--task", "sst", "--runs", run.parent, "--input", path)
    yield "predict", (*predict, "--output", data / "out.tsv")


def fingerprint(data: Path) -> str:
    return str(json.loads(mtl("data", "check", data, "--json").stdout)["fingerprint"])


def test_damage_that_changes_no_row(
    tiny_data: Path, run: Path, tally: Tally, tmp_path: Path
) -> None:
    """Encodings and line ends that change no row, read as the same rows."""
    data = tmp_path / "data"
    shutil.copytree(tiny_data, data)
    path, out = data / "ids-sst-dev.csv", data / "out.tsv"
    whole, expected = path.read_bytes(), fingerprint(data)
    labels = None
    for name, damage in SAME.items():
        path.write_bytes(damage(whole))
        tally.add(fingerprint(data) == expected, name)
        for command, words in commands(data, run, path):
            wrong = held(*words, codes=(0,))
            tally.add(not wrong, f"{command}, {name}: {wrong}")
        labels = labels or out.read_bytes()
        tally.add(out.read_bytes() == labels, f"labels, {name}")


def test_damage_that_is_refused(tiny_data: Path, run: Path, tally: Tally, tmp_path: Path) -> None:
    """Damaged tables, refused with one clear error by each command."""
    data = tmp_path / "data"
    shutil.copytree(tiny_data, data)
    path = data / "ids-sst-dev.csv"
    whole = path.read_bytes()
    for name, damage in WRONG.items():
        path.write_bytes(damage(whole))
        for command, words in commands(data, run, path):
            # The column of ids is optional in new text: one of another name is not read.
            harmless = command == "predict" and name == "escape codes"
            wrong = held(*words, codes=(0,) if harmless else (2,))
            tally.add(not wrong, f"{command}, {name}: {wrong}")
        left = list(data.glob("*out.tsv*"))
        tally.add(bool(left) == harmless, f"outputs {left}: {name}")
        for output in left:
            output.unlink()
    path.unlink()
    for kind in ("endless", "loop", "folder"):
        if kind == "folder":
            path.mkdir()
        else:
            path.symlink_to("/dev/zero" if kind == "endless" else path)
        for command, words in commands(data, run, path):
            wrong = held(*words)
            tally.add(not wrong, f"{command}, {kind}: {wrong}")
        if path.is_symlink():
            path.unlink()


def test_flips_and_cuts(tiny_data: Path, run: Path, tally: Tally, tmp_path: Path) -> None:
    """Flipped bits and cuts in tables: an error or a result, never a traceback."""
    data = tmp_path / "data"
    shutil.copytree(tiny_data, data)
    path = data / "ids-sst-dev.csv"
    whole = path.read_bytes()
    check, _, predict = (words for _, words in commands(data, run, path))
    for _, place in flips([path], 120):
        wrong = held(*check, codes=(0, 2))
        tally.add(not wrong, f"data check, {place}: {wrong}")
    for _, place in flips([path], 40, seed=1):
        wrong = held(*predict, codes=(0, 2))
        tally.add(not wrong, f"predict, {place}: {wrong}")
    for end in range(0, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:end])
        wrong = held(*check, codes=(0, 2))
        tally.add(not wrong, f"data check, cut at {end}: {wrong}")


def test_settings(tally: Tally, tmp_path: Path) -> None:
    """Hostile YAML as settings, definition and space, refused with one clear error."""
    path = tmp_path / "mine.yaml"
    for name, raw in YAML.items():
        path.write_bytes(raw)
        for words in (
            ("config", path),
            ("ablate", "--grid", path, "--dry-run", "--runs", tmp_path / "runs"),
            ("study", "optimize", path, "--trials", "1", "--runs", tmp_path / "runs"),
        ):
            wrong = held(*words)
            tally.add(not wrong, f"{words[0]}, {name}: {wrong}")
    path.unlink()
    for target in ("/dev/zero", path):
        path.symlink_to(target)
        for words in (("config", path), ("ablate", "--grid", path, "--dry-run")):
            wrong = held(*words)
            tally.add(not wrong, f"{words[0]}, a link to {target}: {wrong}")
        path.unlink()


def test_memory(run: Path, tally: Tally, tmp_path: Path) -> None:
    """Endless and huge inputs, within a limit of memory."""
    huge = tmp_path / "ids-sst-dev.csv"
    with huge.open("wb") as file:
        file.write(b"\tid\tsentence\tsentiment\n")
        file.truncate(1 << 30)  # a line of a GiB
    rows = tmp_path / "rows.tsv"
    rows.write_bytes(b"sentence\n" + b"a\tb\n" * 1_000_000)
    predict = ("predict", run.name, "--task", "sst", "--runs", str(run.parent), "--input")
    check = ("data", "check", str(tmp_path), "--tasks", "sst", "--splits", "dev")
    for words in (
        (*predict, str(huge)),
        (*predict, "/dev/zero"),
        (*predict, str(rows)),
        check,
        ("config", "/dev/zero"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", LIMITED, *words],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        clear = done.returncode == 2 and "Error: " in done.stderr
        clear = clear and "Traceback" not in done.stderr and len(done.stderr) < MESSAGE
        tally.add(clear, f"{words}: {done.returncode} {done.stderr[-300:]}")


LIMITED = f"""
import resource
resource.setrlimit(resource.RLIMIT_DATA, ({1 << 30}, {1 << 30}))
from mtl.cli import main
main()
"""
