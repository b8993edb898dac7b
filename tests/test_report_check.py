"""`mtl report`: the command, `--check` of stale reports, and hostile text."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

from mtl.report.publish import make
from mtl.report.render.figures import draw
from mtl.report.subject import find_subject
from tests.fault_tools import as_before_digests, edit
from tests.report_tools import (
    built,
    fill,
    in_an_empty_folder,
    metric,
    mtl,
    records,
    section,
    tables,
    written,
)

__all__ = ["in_an_empty_folder"]


# --- stale reports


def test_check_passes_and_fails_once_anything_has_changed() -> None:
    _, folders = fill()
    mtl("report", "tiny", "--no-text", "--csv")
    assert "its records and the runs" in mtl("report", "tiny", "--check").output
    path = folders["better", 1].path / "record.json"
    metrics = json.loads(path.read_text())["metrics"]
    metrics["dev/sst/recall/2"] += 0.125
    edit(path, metrics=metrics)
    found = mtl("report", "tiny", "--check", code=1).output
    assert "dev/sst/recall/2" in found
    assert f"{folders['better', 1].run_id}" in found
    mtl("report", "tiny", "--no-text")
    mtl("report", "tiny", "--check")  # the tables that were there have been written again too
    path = folders["same", 2].path / "predictions" / "dev-quora.csv"
    lines = path.read_text().splitlines()
    first = lines[1].split(",")
    path.write_text(
        "\n".join([lines[0], ",".join([*first[:2], str(-float(first[2]))]), *lines[2:]]) + "\n"
    )
    assert "the runs say None" in mtl("report", "tiny", "--check", code=1).output
    assert "damaged: its sha256 is not the recorded one" in built()
    as_before_digests(folders["same", 2].path)
    assert "dev.quora.chosen" in mtl("report", "tiny", "--check", code=1).output


def own(name: str) -> None:
    """Make a file as if an earlier report had written it."""
    Path(name).write_text("<svg/>")
    manifest = Path("reports/tiny/files.json")
    stored = json.loads(manifest.read_text())
    stored["files"].append(str(Path(name).relative_to("reports")))
    manifest.write_text(json.dumps(stored))


SPOILED: dict[str, Callable[[], Any]] = {
    "a word": lambda: Path("reports/tiny.md").write_text(written().replace("helps", "hurts", 1)),
    "a line": lambda: Path("reports/tiny.md").write_text(written() + "more\n"),
    "no report": lambda: Path("reports/tiny.md").unlink(),
    "no figure": lambda: Path("reports/tiny/figures/effects.svg").unlink(),
    "another figure": lambda: shutil.copy(
        "reports/tiny/figures/curves.svg", "reports/tiny/figures/effects.svg"
    ),
    "an old figure": lambda: own("reports/tiny/figures/old.svg"),
    "a table": lambda: Path("reports/tiny/tables/ablation.csv").write_text("arm\n"),
}


def test_check_without_runs_finds_what_is_not_of_the_records() -> None:
    fill()
    mtl("report", "tiny", "--no-text", "--csv")
    shutil.rmtree("runs")
    assert "agrees with its records" in mtl("report", "tiny", "--check").output
    shutil.copytree("reports", "kept")
    for what, spoil in SPOILED.items():
        spoil()
        assert "stale: reports/tiny" in mtl("report", "tiny", "--check", code=1).output, what
        shutil.rmtree("reports")
        shutil.copytree("kept", "reports")
    assert json.loads(mtl("report", "tiny", "--check", "--json").stdout)["stale"] is None


def test_check_sees_records_that_changed_under_the_report() -> None:
    fill()
    mtl("report", "tiny", "--no-text")
    shutil.rmtree("runs")
    path = Path("reports/tiny/records.json.gz")
    records = json.loads(gzip.decompress(path.read_bytes()))
    next(iter(records["runs"].values()))["record"]["seconds"] += 100
    path.write_bytes(gzip.compress(json.dumps(records).encode()))
    assert "reports/tiny.md:" in mtl("report", "tiny", "--check", code=1).output


# --- the command


def test_a_run_alone_has_a_report_of_its_own() -> None:
    _, folders = fill()
    run = folders["better", 2]
    mtl("report", run.run_id, "--no-text", "--html")
    markdown = written(run.run_id)
    assert "## Ablation" not in markdown
    assert tables(section(markdown, "Results"))[0][0]["sst"] == f"{metric(run, 'sst'):.3f} (n=1)"
    assert Path("reports", f"{run.run_id}.html").is_file()
    mtl("report", run.run_id, "--check")


def test_sentences_show_for_the_built_in_data_only_unless_asked_for() -> None:
    _, folders = fill()
    mtl("report", "tiny")
    assert "“" not in written()  # the made-up ids are not the sample's
    from mtl.data.load import load_rows

    rows = load_rows("sample", ["quora"], ["dev"])["quora", "dev"]
    for folder in folders.values():
        record = folder.record()
        assert record is not None
        record.data.parts["dev/quora"] = rows.fingerprint()
        path = folder.path / "predictions" / "dev-quora.csv"
        if path.is_file():
            text = path.read_text()
            for number in range(50):
                text = text.replace(f"quora-{number:04d}", rows.ids[number])
            path.write_text(text)
        folder.finish(record)
    mtl("report", "tiny")
    quoted = re.findall(r"“(.*)”", written())
    assert quoted
    assert rows.second is not None
    known = {*rows.first, *rows.second}
    assert {re.sub(r"\\(.)", r"\1", line) for line in quoted} <= known
    assert not any(sentence in records() for sentence in known)
    assert "“" not in built()


def test_the_command_answers_wrong_names_with_what_is_there_and_json_with_verdicts() -> None:
    fill()
    assert "Did you mean 'tiny'?" in mtl("report", "tinny", code=2).output
    assert "mtl ablate" in mtl("report", "--runs", "nowhere", code=2).output
    assert "writes nothing" in mtl("report", "tiny", "--check", "--html", code=2).output
    assert "no records" in mtl("report", "tiny", "--check", code=1).output
    found: Mapping[str, Any] = json.loads(mtl("report", "--json", "--no-text").stdout)
    assert all(Path(path).is_file() for path in found["files"])
    better = next(arm for arm in found["results"]["arms"] if arm["name"] == "better")
    assert better["verdicts"]["overall"]["word"] == "helps"
    Path("reports/tiny/records.json.gz").write_bytes(b"no gzip")
    assert "damaged" in mtl("report", "tiny", "--check", code=1).output


def test_reporting_and_checking_load_neither_torch_nor_wandb() -> None:
    fill()
    program = (
        "import sys\nfrom mtl.cli import main\n"
        "report = ['report', 'tiny']\n"
        "for words in ([*report, '--html', '--csv', '--latex'], [*report, '--check']):\n"
        "    main(words, standalone_mode=False)\n"
        "    loaded = sorted({'torch', 'wandb', 'transformers'} & sys.modules.keys())\n"
        "    assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


# --- hostile text through the whole of it


ARM = "a|b `c` $d$ <script>alert(1)</script> </td> *e* _f_ [g](h) é"
HOSTILE = f"""
question: "Does | `it` $help$\\n<script>alert(1)</script>\\u202E?"
name: tiny
set: {{encoder: random-tiny, heads.sts: auto}}
seeds: [0, 1]
arms:
  {json.dumps(ARM)}: {{freeze.unfrozen: 1}}
claims:
  - claim: "1. | `claims` $too$\\n- <b>"
    arm: {json.dumps(ARM)}
    task: sts
    expect: helps
    published: {{where: "| $p$"}}
"""


def test_hostile_names_claims_and_sentences_break_nothing() -> None:
    def shape(markdown: str) -> tuple[list[str], list[str]]:
        tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(markdown)
        inline = [child.type for token in tokens for child in token.children or []]
        return [token.type for token in tokens], inline

    sentences = [
        "<script>x</script>",
        "| a | b |",
        "```",
        "\u202eback",
        "y" * 100_000,
        "# no\n\n- no",
    ]
    texts = {
        (task, f"{task}-{i:04d}"): (sentences[i % 6],)
        for task in ("sst", "quora", "sts")
        for i in range(60)
    }
    found = []
    for text in (
        HOSTILE,
        HOSTILE.replace(json.dumps(ARM), "plain")
        .replace("|", "")
        .replace("`", "")
        .replace("$", ""),
    ):
        fill(text)
        gathered = find_subject("tiny", Path("runs"), Path("reports")).gather(text=False)
        chosen = texts if text == HOSTILE else dict.fromkeys(texts, ("plain",))
        found.append(make(gathered, chosen))
        shutil.rmtree("runs")
    hostile, harmless = found
    blocks, inline = shape(hostile.markdown)
    assert "html_block" not in blocks
    assert set(inline) <= {
        "text",
        "text_special",
        "strong_open",
        "strong_close",
        "em_open",
        "em_close",
        "image",
        "softbreak",
    }
    tables_of = [
        re.sub(r"\\\|", "", line).count("|")
        for line in hostile.markdown.splitlines()
        if line.startswith("|")
    ]
    assert tables_of == [
        line.count("|") for line in harmless.markdown.splitlines() if line.startswith("|")
    ]
    assert "[… cut, 100000 characters]" in hostile.markdown or "y" * 100 not in hostile.markdown
    assert "\u202e" not in hostile.markdown
    assert "[U+202E]" in hostile.markdown
    for figure in hostile.document.figures():
        assert b"<script" not in draw(figure)
