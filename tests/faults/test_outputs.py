"""What a user names as an output: nothing of anybody else's is deleted or replaced.

Also: streams that are closed, full, narrow or of another encoding.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mtl.commands.output import Output, writing
from mtl.errors import MtlError
from mtl.report.places import Places
from tests.cli_tools import mtl, tiny_words
from tests.fault_tools import Tally

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def runs(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs with a grid named `α` of two arms."""
    folder = tmp_path_factory.mktemp("outputs")
    pairs = [word.partition("=") for word in tiny_words(tiny_data)]
    settings = "\n".join(f"  {key}: {value}" for key, _, value in pairs)
    text = f"question: does it?\nset:\n{settings}\nseeds: [0, 1]\narms:\n  α: {{train.lr: 1e-4}}\n"
    (folder / "g.yaml").write_text(text, "utf-8")
    done = mtl("ablate", "--grid", folder / "g.yaml", "--runs", folder / "runs", "--quiet")
    assert done.exit_code == 0, done.output
    return folder / "runs"


def files(folder: Path) -> dict[str, bytes | str]:
    """Every file and link below a folder, by its content or where it leads."""
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def put(*names: str) -> Callable[[Path], Any]:
    def make(output: Path) -> None:
        for name in names:
            (output / name).parent.mkdir(parents=True, exist_ok=True)
            (output / name).write_text("mine")

    return make


def link(name: str, target: str) -> Callable[[Path], Any]:
    def make(output: Path) -> None:
        (output.parent / "elsewhere").mkdir(exist_ok=True)
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).symlink_to(target)

    return make


REFUSED: dict[str, Callable[[Path], Any]] = {
    "g.md": put("g.md"),
    "g.html": put("g.html"),
    "a figure of the same name": put("g/figures/curves.svg"),
    "a table of the same name": put("g/tables/ablation.csv"),
    "records": put("g/records.json.gz"),
    "g is a file": put("g"),
    "figures is a file": put("g/figures"),
    "g.md is a folder": put("g.md/mine"),
    "g.md is a link": link("g.md", "elsewhere/x"),
    "g is a link": link("g", "../elsewhere"),
    "figures is a link": link("g/figures", "../../elsewhere"),
}
KEPT: dict[str, Callable[[Path], Any]] = {
    "another figure": put("g/figures/own.svg"),
    "another table": put("g/tables/mine.csv"),
    "another file": put("README.md", "g/notes.txt"),
}


def report(runs: Path, output: Path, *more: str) -> Any:
    return mtl("report", "g", "--runs", runs, "--output", output, "--no-text", *more)


def test_reports_leave_the_files_of_others(runs: Path, tmp_path: Path, tally: Tally) -> None:
    """Reports among the files of others: refused, or these are kept."""
    for name, make in REFUSED.items():
        output = tmp_path / name.replace(" ", "-") / "out"
        output.mkdir(parents=True)
        make(output)
        before = files(output.parent)
        done = report(runs, output, "--html", "--csv")
        held = done.exit_code == 2 and "not written by `mtl report`" in done.output
        tally.add(held and files(output.parent) == before, f"{name}: {done.output}")
    for name, make in KEPT.items():
        output = tmp_path / name.replace(" ", "-") / "out"
        output.mkdir(parents=True)
        make(output)
        before = files(output)
        for _ in range(2):
            done = report(runs, output, "--html", "--csv")
            kept = before.items() <= files(output).items()
            tally.add(done.exit_code == 0 and kept, f"{name}: {done.output}")
        checked = report_check(runs, output)
        tally.add(checked.exit_code == 0, f"{name}, checked: {checked.output}")
        shutil.rmtree(output / "g" / "figures")
        assert report(runs, output).exit_code == 0


def report_check(runs: Path, output: Path) -> Any:
    return mtl("report", "g", "--runs", runs, "--output", output, "--check")


def test_a_report_replaces_and_removes_only_its_own(runs: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert report(runs, output, "--csv").exit_code == 0
    manifest = Places(output=output, name="g").manifest
    stored = json.loads(manifest.read_text())
    (output / "g" / "figures" / "old.svg").write_text("<svg/>")
    (output / "mine.md").write_text("mine")
    stored["files"] += ["g/figures/old.svg", "mine.md", "../runs/x", "/etc/passwd", 7]
    manifest.write_text(json.dumps({**stored, "files": [str(name) for name in stored["files"]]}))
    assert report(runs, output).exit_code == 0
    assert not (output / "g" / "figures" / "old.svg").exists()
    assert (output / "mine.md").read_text() == "mine"
    # A report of an earlier version has no manifest.
    manifest.unlink()
    (output / "g" / "figures" / "own.svg").write_text("mine")
    assert report(runs, output).exit_code == 0
    assert (output / "g" / "figures" / "own.svg").read_text() == "mine"
    assert report_check(runs, output).exit_code == 0


def test_places_of_an_output(tmp_path: Path, tally: Tally) -> None:
    """Outputs of any kind of place: written, or one error."""
    (tmp_path / "plain").write_text("old")
    (tmp_path / "linked").symlink_to("plain")
    (tmp_path / "dangling").symlink_to("new")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "astray").symlink_to("absent/new")
    (tmp_path / "folder").mkdir()
    for name, lands in {"plain": "plain", "linked": "plain", "dangling": "new"}.items():
        was_link = (tmp_path / name).is_symlink()
        with writing(Output(tmp_path / name)) as write:
            write(name)
        held = (tmp_path / lands).read_text() == name
        tally.add(held and (tmp_path / name).is_symlink() == was_link, name)
    with writing(Output(Path("/dev/null"))) as write:
        write("x")
    tally.add(Path("/dev/null").is_char_device(), "a device")
    reader, writer = os.pipe()
    with writing(Output(Path(f"/dev/fd/{writer}"))) as write:
        write("piped")
    tally.add(os.read(reader, 10) == b"piped", "a pipe")
    for path in ("loop", "astray", "folder", "absent/file", "plain/file"):
        try:
            with writing(Output(tmp_path / path)) as write:
                write("x")
            tally.add(False, path)
        except MtlError as error:
            tally.add(str(tmp_path / path) in str(error), f"{path}: {error}")
    before = (tmp_path / "plain").read_text()
    try:
        with writing(Output(Path("/dev/full"))) as write:
            write("x" * 10**6)
        tally.add(False, "a full disk")
    except MtlError as error:
        tally.add("/dev/full: cannot be written: No space left" in str(error), error)
    try:
        with writing(Output(tmp_path / "plain")) as write:
            write("half")
            raise OSError(28, "No space left on device")
    except MtlError:
        tally.add((tmp_path / "plain").read_text() == before, "a full disk, half written")
    tally.add(not list(tmp_path.glob(".*.tmp")), "leftovers")


COMMANDS = (
    ("config", "--schema"),
    ("config", "concat"),
    ("runs", "list"),
    ("report", "g", "--output", "rep", "--no-text"),
    ("ablate", "--grid", "../g.yaml", "--quiet"),
    ("ablate", "--grid", "../g.yaml", "--dry-run"),
    ("data", "check", "sample"),
    ("bogus",),
)


@pytest.fixture(scope="module")
def alone(runs: Path) -> Iterator[Callable[..., subprocess.CompletedProcess[bytes]]]:
    """Runs `mtl` in a process of its own, through a shell that prepares its streams."""

    def call(words: tuple[str, ...], streams: str, **environ: str) -> Any:
        command = f'{sys.executable} -m mtl "$@" {streams}'
        has_runs = words[0] in ("runs", "report", "ablate")
        place = ("--runs", str(runs)) if has_runs else ()
        return subprocess.run(
            ["bash", "-c", command, "mtl", *words, *place],
            cwd=runs, env=os.environ | environ, capture_output=True, timeout=120,
        )  # fmt: skip

    yield call


@pytest.mark.parametrize(
    ("streams", "environ", "code"),
    [
        ("", {"PYTHONIOENCODING": "cp1252"}, 0),
        ("", {"PYTHONIOENCODING": "ascii"}, 0),
        ("", {"COLUMNS": "0"}, 0),
        ("", {"COLUMNS": "wide"}, 0),
        (">&-", {}, 0),
        ("2>&-", {}, 0),
        ("<&-", {}, 0),
        (">&- 2>&- <&-", {}, 0),
        ("> /dev/full", {}, 1),
        ("2> /dev/full", {}, 0),
        ("| head -c 1", {}, 0),
    ],
)
def test_streams(
    alone: Any, streams: str, environ: dict[str, str], code: int, runs: Path, tally: Tally
) -> None:
    """Commands with streams that are closed, full, narrow or of another encoding."""
    for words in COMMANDS:
        shutil.rmtree(runs / "rep", ignore_errors=True)
        done = alone(words, streams, **environ)
        expected = 2 if words == ("bogus",) else code
        if words == ("bogus",) and streams == "2> /dev/full":  # the error cannot be said
            expected = 1
        if "head" in streams:  # the exit code is that of head
            expected = 0
        held = done.returncode == expected and b"Traceback" not in done.stderr
        if words[0] == "report":
            held &= (runs / "rep" / "g.md").is_file()  # written before it is printed
        if words[0] == "config" and "ascii" in environ.values() and "--schema" in words:
            held &= isinstance(json.loads(done.stdout), dict)
        tally.add(held, f"{words} {streams} {environ}: {done.returncode} {done.stderr[-200:]!r}")
