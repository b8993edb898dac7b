"""Reports from records: every number again from the raw prediction files, what is missing said, stale reports found."""

from __future__ import annotations

import csv
import gzip
import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats
from click.testing import CliRunner, Result
from markdown_it import MarkdownIt

from mtl.cli import main
from mtl.report.gather import without_paths
from mtl.report.publish import make
from mtl.report.render.figures import draw
from mtl.report.source import find_source
from mtl.runs.folder import RunFolder
from mtl.runs.record import Opening
from tests.conftest import write_tiny_data
from tests.report_runs import fill_grid, write_grid, write_run

GRID = """
question: Which of these help?
name: tiny
base: baseline
set: {encoder: random-tiny, heads.sts: auto}
seeds: [0, 1, 2, 3]
arms:
  better: {freeze.unfrozen: 1}
  same: {train.lr: 2e-5}
  sts alone: {tasks: [sst, sts]}
margin: 0.01
claims:
  - {claim: 1. Freezing helps sts, arm: better, task: sts, expect: helps, published: {arm: 0.690, than: 0.551, where: dev}}
  - {claim: 8. Neutral is worst, arm: better, expect: worst class, class: 2}
  - {claim: 9. Train is above dev, arm: better, expect: train above dev}
"""

ONE_SEED = GRID.replace("[0, 1, 2, 3]", "[0]")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def mtl(*words: str, code: int = 0) -> Result:
    found = CliRunner().invoke(main, words)
    assert found.exit_code == code, found.output
    return found


def fill(text: str = GRID, **options: Any) -> tuple[Any, dict[tuple[str, int], RunFolder]]:
    grid = write_grid(Path("runs"), text, Path("definitions"))
    return grid, fill_grid(grid, gains={"better": 0.6}, **options)


def write_and_fill(text: str) -> None:
    """A grid with its runs, `better` far better than the others."""
    fill_grid(write_grid(Path("runs"), text, Path("definitions")), gains={"better": 0.6})


def written(name: str = "tiny") -> str:
    return Path("reports", f"{name}.md").read_text("utf-8")


def records(name: str = "tiny") -> str:
    return gzip.decompress(Path("reports", name, "records.json.gz").read_bytes()).decode()


def built(name: str = "tiny") -> str:
    """The report's Markdown, without drawing its figures."""
    source = find_source(name, Path("runs"), Path("reports"))
    return make(source.gather(text=False)).markdown


def section(markdown: str, title: str) -> str:
    found = re.search(
        rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", markdown, re.MULTILINE | re.DOTALL
    )
    assert found, f"no section {title}"
    return found[1]


def tables(text: str) -> list[list[dict[str, str]]]:
    """The tables of a part: rows by column title; titles that repeat get the one before them in front."""
    found = []
    for block in re.findall(r"(?:^\|.*\|\n)+", text + "\n", re.MULTILINE):
        lines = [
            [cell.strip() for cell in line.strip("|\n").split(" | ")] for line in block.splitlines()
        ]
        heads = [
            f"{lines[0][at - 1]} {head}" if lines[0].count(head) > 1 else head
            for at, head in enumerate(lines[0])
        ]
        found.append([dict(zip(heads, line, strict=True)) for line in lines[2:]])
    return found


# --- the same numbers by other means: csv, numpy and scipy on the raw files


def raw(folder: RunFolder, task: str) -> tuple[np.ndarray, np.ndarray]:
    with (folder.path / "predictions" / f"dev-{task}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name.startswith("output_")]
    return np.array([float(row["gold"]) for row in rows]), np.array(
        [[float(row[name]) for name in names] for row in rows]
    )


def right(task: str, gold: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    guess = (outputs[:, 0] > 0) if task == "quora" else outputs.argmax(1)
    return (guess == gold).astype(float)


def metric(folder: RunFolder, task: str) -> float:
    gold, outputs = raw(folder, task)
    if task == "sts":
        return float(scipy.stats.pearsonr(outputs[:, 0], gold).statistic)
    return float(right(task, gold, outputs).mean())


def contributions(folder: RunFolder, task: str) -> np.ndarray:
    """What each example adds to the score; for Pearson's r, r and its influence function."""
    gold, outputs = raw(folder, task)
    if task != "sts":
        return right(task, gold, outputs)
    x, y = scipy.stats.zscore(outputs[:, 0]), scipy.stats.zscore(gold)
    r = metric(folder, task)
    return r + x * y - r / 2 * (x**2 + y**2)


def interval(
    arm: list[RunFolder], baseline: list[RunFolder], tasks: list[str]
) -> tuple[float, float, float]:
    """The difference and its 95 % interval for crossed seeds and examples, from the textbook's sums of squares."""
    seeds = len(arm)
    scores = np.array(
        [[metric(a, t) - metric(b, t) for t in tasks] for a, b in zip(arm, baseline, strict=True)]
    )
    of_seeds = scores.mean(1).var(ddof=1) / seeds
    parts, freedom = [], []
    for task in tasks:
        d = np.array(
            [
                contributions(a, task) - contributions(b, task)
                for a, b in zip(arm, baseline, strict=True)
            ]
        )
        n = d.shape[1]
        total = ((d - d.mean()) ** 2).sum()
        examples = seeds * ((d.mean(0) - d.mean()) ** 2).sum()
        rest = total - examples - n * ((d.mean(1) - d.mean()) ** 2).sum()
        extra = examples / (n - 1) - rest / ((n - 1) * (seeds - 1))
        parts.append(max(0.0, extra) / (seeds * n) / len(tasks) ** 2)
        freedom.append(n - 1)
    of_examples = sum(parts)
    df = (
        of_examples**2 / sum(p**2 / f for p, f in zip(parts, freedom, strict=True))
        if of_examples
        else sum(freedom)
    )
    t_seeds, t_examples = scipy.stats.t.ppf(0.975, seeds - 1), scipy.stats.t.ppf(0.975, df)
    variance = of_seeds + of_examples
    half = (t_seeds * of_seeds + t_examples * of_examples) / variance * math.sqrt(variance)
    value = float(scores.mean())
    return value, value - half, value + half


def spread(values: list[float]) -> str:
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f} (sd, n={len(values)})"


def span(found: tuple[float, float, float]) -> str:
    return f"{found[0]:+.3f} [{found[1]:+.3f}, {found[2]:+.3f}]"


def test_every_number_is_what_the_raw_predictions_give() -> None:
    _, folders = fill()
    markdown = built()
    runs: Callable[[str], list[RunFolder]] = lambda arm: [folders[arm, seed] for seed in range(4)]  # noqa: E731
    three = ["sst", "quora", "sts"]
    comparison, by_task = tables(section(markdown, "Ablation"))
    rows = {row["arm"]: row for row in comparison}
    differences = {row["arm"]: row for row in by_task}
    for arm in ("baseline", "better", "same"):
        for task in three:
            assert rows[arm][task] == spread([metric(run, task) for run in runs(arm)])
        assert rows[arm]["overall"] == spread(
            [float(np.mean([metric(run, task) for task in three])) for run in runs(arm)]
        )
    for arm in ("better", "same"):
        overall = interval(runs(arm), runs("baseline"), three)
        assert rows[arm]["difference of overall [95 %]"] == span(overall)
        assert differences[arm]["overall [95 %]"] == span(overall)
        for task in three:
            assert differences[arm][f"{task} [95 %]"] == span(
                interval(runs(arm), runs("baseline"), [task])
            )
    assert rows["better"]["verdict"] == "helps"
    assert f"better ({interval(runs('better'), runs('baseline'), three)[0]:+.3f})" in section(
        markdown, "Verdict"
    )
    assert rows["sts alone"]["quora"] == "-"
    assert differences["sts alone"]["sts [95 %]"] == span(
        interval(runs("sts alone"), runs("baseline"), ["sts"])
    )

    (results,) = tables(section(markdown, "Results"))
    assert results[0]["sst"] == rows["baseline"]["sst"]

    (classes,) = tables(section(markdown, "Classes of sst"))
    for row in classes[:2]:
        for label in range(5):
            recalls = []
            for run in runs(row["model"]):
                gold, outputs = raw(run, "sst")
                recalls.append(float(right("sst", gold, outputs)[gold == label].mean()))
            assert next(
                value for key, value in row.items() if key.startswith(str(label))
            ) == spread(recalls)

    (flips,) = tables(section(markdown, "Examples that flipped"))
    for row in flips:
        gains = []
        for after, before in zip(runs("better"), runs("baseline"), strict=True):
            gold, a = raw(after, row["task"])
            _, b = raw(before, row["task"])
            if row["task"] == "sts":
                gains.append(np.sign(np.abs(b[:, 0] - gold) - np.abs(a[:, 0] - gold)))
            else:
                gains.append(right(row["task"], gold, a) - right(row["task"], gold, b))
        for column, sign in (("fixed", 1), ("broken", -1)):
            count = int((np.array(gains) == sign).all(0).sum())
            assert row[column] == f"{count} ({100 * count / len(gold):.1f} %)"

    curves = tables(section(markdown, "Train against dev"))[0]
    assert curves[0]["sst train dev"] == rows["baseline"]["sst"]

    claims = {row["claim"]: row for row in tables(section(markdown, "Claims"))[0]}
    assert claims["1\\. Freezing helps sts"]["found"] == span(
        interval(runs("better"), runs("baseline"), ["sts"])
    )
    assert claims["1\\. Freezing helps sts"]["published"] == "0.690 against 0.551 (+0.139), dev"
    assert claims["9\\. Train is above dev"]["judged"] == "reproduced"


def test_the_closer_look_is_at_the_rows_that_the_raw_predictions_single_out() -> None:
    _, folders = fill()
    markdown = built()
    look = section(markdown, "Closer look")
    gold, outputs = raw(folders["better", 0], "sts")
    fitted = scipy.stats.linregress(outputs[:, 0], gold)
    residual = gold - (fitted.slope * outputs[:, 0] + fitted.intercept)
    for what, place in (
        ("smallest residual", np.abs(residual).argmin()),
        ("largest residual above the line", residual.argmax()),
    ):
        assert (
            f"- {what}: gold {gold[place]:.2f}, predicted {outputs[place, 0]:.2f}, residual {residual[place]:+.3f} (sts-{place:04d})"
            in look
        )
    gold, outputs = raw(folders["better", 0], "quora")
    false = np.where(gold == 0, outputs[:, 0], -np.inf).argmax()
    if outputs[false, 0] > 0:
        probability = 1 / (1 + math.exp(-outputs[false, 0]))
        assert (
            f"wrongly called paraphrase, most confidently: probability {probability:.3f} (quora-{false:04d})"
            in look
        )
    gold, outputs = raw(folders["better", 0], "sst")
    of_truth = scipy.special.softmax(outputs, axis=1)[np.arange(len(gold)), gold.astype(int)]
    assert f"probability {of_truth.min():.2g}; taken for" in look
    assert f"(sst-{of_truth.argmin():04d})" in look


def test_figures_are_drawn_from_the_numbers_of_the_raw_predictions() -> None:
    _, folders = fill()
    gathered = find_source("tiny", Path("runs"), Path("reports")).gather(text=False)
    figures = {figure.name: figure.data for figure in make(gathered).document.figures()}
    for panel in figures["confusion"]["panels"]:
        counts = np.zeros((5, 5), dtype=int)
        for seed in range(4):
            gold, outputs = raw(folders[panel["arm"], seed], "sst")
            for label, guess in zip(gold.astype(int), outputs.argmax(1), strict=True):
                counts[label, guess] += 1
        assert counts.tolist() == panel["counts"]
    for panel in figures["sts-regression"]["panels"]:
        gold, outputs = raw(folders[panel["arm"], 0], "sts")
        fitted = scipy.stats.linregress(outputs[:, 0], gold)
        assert panel["line"] == pytest.approx([fitted.slope, fitted.intercept], abs=1e-5)
        assert panel["gold"] == gold.tolist()
    for panel in figures["effects"]["panels"]:
        tasks = ["sst", "quora", "sts"] if panel["score"] == "overall" else [panel["score"]]
        for line in panel["lines"]:
            runs = [[folders[arm, seed] for seed in range(4)] for arm in (line["arm"], "baseline")]
            assert [line["value"], line["low"], line["high"]] == pytest.approx(
                interval(*runs, tasks)
            )
    for panel in figures["curves"]["panels"]:
        for line in panel["lines"]:
            assert [[point[0] for point in run] for run in line["runs"]] == [[1.0, 2.0, 3.0]] * 4


def test_the_report_is_the_same_byte_for_byte_when_made_again_from_its_records_alone() -> None:
    fill()
    mtl("report", "tiny", "--no-text")
    once = {path: path.read_bytes() for path in Path("reports").rglob("*") if path.is_file()}
    assert len([path for path in once if path.suffix == ".svg"]) == 4
    shutil.rmtree("runs")
    mtl("report", "tiny")
    assert {
        path: path.read_bytes() for path in Path("reports").rglob("*") if path.is_file()
    } == once


def test_records_hold_no_sentence_and_no_place_of_the_machine(tmp_path: Path) -> None:
    fill()
    mtl("report", "tiny")
    assert str(tmp_path) not in records() + written()
    assert "/somewhere" not in records()
    assert "sst-0001" in records()


def test_folders_in_names_made_of_them_are_shortened_as_far_as_they_stay_apart(
    tmp_path: Path,
) -> None:
    places = [
        write_tiny_data(tmp_path / name / "course", seed=seed)
        for seed, name in enumerate(("one", "two"))
    ]
    text = GRID[: GRID.index("arms:")] + f"grid: {{data: {[str(place) for place in places]}}}\n"
    grid = write_grid(Path("runs"), text, Path("definitions"))
    first, second = grid.design.arms
    assert str(tmp_path) in second.name
    for arm in (first, second):
        for seed in grid.seeds[arm.name]:
            write_run(grid.runs, arm.config.model_copy(update={"seed": seed}), arm.cell)
    mtl("report", "tiny")
    assert str(tmp_path) not in records() + written()
    assert "two/course" in written()
    mtl("report", "tiny", "--check")


def test_a_reason_loses_every_folder_of_the_machine() -> None:
    words = "OSError: no space: '/srv/me/data/x.csv' (see https://a.b/c/d, 3/4, and ~/notes/y.txt)"
    assert (
        without_paths(words, Path("runs"))
        == "OSError: no space: 'x.csv' (see https://a.b/c/d, 3/4, and y.txt)"
    )


def test_the_card_says_how_long_and_how_fast_and_on_how_much_of_the_data() -> None:
    _, folders = fill()
    for folder in folders.values():
        record = json.loads((folder.path / "record.json").read_text())
        record["data"]["trained_on"] = dict.fromkeys(record["data"]["trained_on"], 7)
        (folder.path / "record.json").write_text(json.dumps(record))
    card = section(built(), "Comparability")
    assert "| learning rate, batch size | 1e-05 at 16, 2e-05 at 16 |" in card
    assert "| epochs | 3 |" in card
    assert re.search(r"\| 7 of \d+ \|", card)
    assert "of which these runs saw a part" in card


def test_claims_between_arms_that_stand_apart_together_are_judged() -> None:
    text = GRID.replace(
        "  same:",
        "  shifted: {overall: shifted}\n  shifted too: {overall: shifted, train.lr: 3e-5}\n  same:",
    )
    text += "  - {claim: Apart, arm: shifted too, than: shifted, expect: helps}\n"
    text += "  - {claim: Apart and alone, arm: shifted, expect: train above dev}\n"
    write_and_fill(text)
    claims = section(built(), "Claims")
    assert "Not judged" not in claims
    assert {row["claim"] for row in tables(claims)[0]} >= {"Apart", "Apart and alone"}


def test_a_claim_of_no_difference_holds_where_a_sure_difference_is_smaller_than_counts() -> None:
    text = (
        GRID.replace("margin: 0.01", "margin: 0.9")
        + "  - {claim: Nothing much, arm: better, expect: no difference}\n"
    )
    write_and_fill(text)
    markdown = built()
    found = next(
        row for row in tables(section(markdown, "Claims"))[0] if row["claim"] == "Nothing much"
    )
    assert found["judged"] == "reproduced"
    assert found["because"] == "the interval is inside the margin of 0.9"
    ablation = {row["arm"]: row["verdict"] for row in tables(section(markdown, "Ablation"))[0]}
    assert ablation["better"] == "helps"


def test_a_grid_is_reported_from_inside_its_own_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    fill()
    expected = built()
    monkeypatch.chdir("runs/grids/tiny")
    assert (
        make(find_source(".", Path("none"), Path("reports")).gather(text=False)).markdown
        == expected
    )
    monkeypatch.chdir("..")
    assert (
        make(find_source("tiny", Path("none"), Path("reports")).gather(text=False)).markdown
        == expected
    )


# --- stale reports


def test_check_passes_and_fails_once_anything_has_changed() -> None:
    _, folders = fill()
    mtl("report", "tiny", "--no-text", "--csv")
    assert "its records and the runs" in mtl("report", "tiny", "--check").output
    path = folders["better", 1].path / "record.json"
    record = json.loads(path.read_text())
    record["metrics"]["dev/sst/recall/2"] += 0.125
    path.write_text(json.dumps(record))
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
    assert "dev.quora.chosen" in mtl("report", "tiny", "--check", code=1).output


SPOILED: dict[str, Callable[[], Any]] = {
    "a word": lambda: Path("reports/tiny.md").write_text(written().replace("helps", "hurts", 1)),
    "a line": lambda: Path("reports/tiny.md").write_text(written() + "more\n"),
    "no report": lambda: Path("reports/tiny.md").unlink(),
    "no figure": lambda: Path("reports/tiny/figures/effects.svg").unlink(),
    "another figure": lambda: shutil.copy(
        "reports/tiny/figures/curves.svg", "reports/tiny/figures/effects.svg"
    ),
    "an old figure": lambda: Path("reports/tiny/figures/old.svg").write_text("<svg/>"),
    "a table": lambda: Path("reports/tiny/tables/ablation.csv").write_text("arm\n"),
}


def test_check_without_runs_finds_what_is_not_of_the_records() -> None:
    fill()
    mtl("report", "tiny", "--no-text", "--csv")
    shutil.rmtree("runs")
    assert "its records say" in mtl("report", "tiny", "--check").output
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


# --- what is missing, failed, or not to be compared


def test_runs_without_a_score_are_said_with_their_reason() -> None:
    grid, folders = fill(leave_out=[("same", 3)])
    diverged = folders["better", 3]
    record = diverged.record()
    assert record is not None
    diverged.finish(
        record.model_copy(
            update={"status": "diverged", "error": "step 5 of 9: the loss of sst is not finite"}
        )
    )
    damaged = folders["same", 2].path / "predictions" / "dev-sts.csv"
    damaged.write_text("id,gold,output_0\nx,1.0,nonsense\n")
    markdown = built()
    (missing,) = tables(section(markdown, "Missing runs"))
    said = {(row["arm"], row["seed"]): row for row in missing}
    assert said["same", "3"]["reason"] == "not run"
    assert said["better", "3"]["state"] == "diverged"
    assert "the loss of sst is not finite" in said["better", "3"]["reason"]
    assert "damaged" in said["same", "2"]["reason"]
    rows = {row["arm"]: row for row in tables(section(markdown, "Ablation"))[0]}
    assert rows["better"]["sst"].endswith("(sd, n=3)")
    assert rows["same"]["sst"].endswith("(sd, n=2)")
    for seed in grid.seeds["same"]:
        shutil.rmtree(folders["same", seed].path) if ("same", seed) in folders else None
    markdown = built()
    rows = {row["arm"]: row for row in tables(section(markdown, "Ablation"))[0]}
    assert [rows["same"][task] for task in ("sst", "quora", "sts", "overall")] == ["missing"] * 4
    assert "same: no scores. seed 0, 1, 2, 3: not run" in section(markdown, "Verdict")


def test_a_constant_prediction_is_undefined_with_its_reason_and_never_zero() -> None:
    _, folders = fill()
    path = folders["same", 1].path / "predictions" / "dev-sts.csv"
    lines = path.read_text().splitlines()
    path.write_text(
        "\n".join([lines[0], *(",".join([*line.split(",")[:2], "0.0"]) for line in lines[1:])])
        + "\n"
    )
    record = folders["same", 1].record()
    assert record is not None
    why = "all predictions are equal (0), so the correlation is undefined"
    metrics = record.metrics | {"dev/sts/pearson": None, "dev/overall": None}
    folders["same", 1].finish(
        record.model_copy(
            update={
                "metrics": metrics,
                "undefined": {"dev/sts/pearson": why, "dev/overall": "sts is"},
            }
        )
    )
    markdown = built()
    rows = {row["arm"]: row for row in tables(section(markdown, "Ablation"))[0]}
    assert rows["same"]["sts"].endswith("(sd, n=3)")
    assert rows["same"]["sst"].endswith("(sd, n=4)")
    assert why in section(markdown, "Missing runs")


def test_one_seed_gets_no_verdict_and_no_spread() -> None:
    fill(ONE_SEED)
    markdown = built()
    verdict = section(markdown, "Verdict")
    assert "No verdict: better; same" in verdict
    assert "One seed an arm" in verdict
    rows = tables(section(markdown, "Ablation"))[0]
    assert all("±" not in value for row in rows for value in row.values())
    assert rows[1]["verdict"] == "no verdict: one seed"
    assert not re.search(r"\b(helps|hurts)\b", verdict.replace("Helps or hurts:", ""))
    assert {row["judged"] for row in tables(section(markdown, "Claims"))[0]} == {"undecided"}


def test_a_grid_without_any_run_says_so() -> None:
    write_grid(Path("runs"), GRID, Path("definitions"))
    markdown = built()
    assert section(markdown, "Missing runs").count("not run") == 16


def test_arms_scored_on_other_rows_or_by_another_rule_stand_apart() -> None:
    text = GRID.replace("  same:", "  shifted: {overall: shifted}\n  same:")
    grid = write_grid(Path("runs"), text, Path("definitions"))
    for arm in grid.design.arms:
        for seed in grid.seeds[arm.name]:
            config = arm.config.model_copy(update={"seed": seed})
            ids = {"sst": [f"other-{i}" for i in range(60)]} if arm.name == "same" else None
            write_run(
                grid.runs,
                config,
                arm.cell,
                ids=ids,
                parts="f" * 16 if arm.name == "same" else "0" * 16,
            )
    markdown = built()
    found = tables(section(markdown, "Ablation"))
    arms = [[row["arm"] for row in table] for table in found]
    assert arms == [
        ["baseline", "better", "sts alone"],
        ["shifted"],
        ["same"],
        ["better", "sts alone"],
    ]
    assert section(markdown, "Verdict").count("Not compared:") == 2
    assert "ffff" in section(markdown, "Comparability")


def test_openings_of_test_are_counted_and_its_scores_shown() -> None:
    _, folders = fill()
    for seed in range(2):
        metrics = {
            "test/sst/accuracy": 0.4 + seed / 10,
            "test/quora/accuracy": 0.7,
            "test/sts/pearson": 0.5,
            "test/overall": 0.55,
        }
        for last in (False, True):  # the last opening's scores are the run's
            shown = metrics if last else dict.fromkeys(metrics, 0.9)
            folders["better", seed].add_test(
                Opening(at="2026-01-01", data="x", metrics=shown, undefined={})
            )
    markdown = built()
    assert "Test was opened 4 times." in section(markdown, "Choosing, and openings of test")
    assert (
        tables(section(markdown, "Choosing, and openings of test"))[0][0]["by seed"]
        == "seed 0: 2; seed 1: 2"
    )
    row = next(row for row in tables(section(markdown, "Results"))[0] if row["split"] == "test")
    assert row["sst"] == "0.450 ± 0.071 (sd, n=2)"


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
        folder.finish(record)
        path = folder.path / "predictions" / "dev-quora.csv"
        if path.is_file():
            text = path.read_text()
            for number in range(50):
                text = text.replace(f"quora-{number:04d}", rows.ids[number])
            path.write_text(text)
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
        "for words in (['report', 'tiny', '--html', '--csv', '--latex'], ['report', 'tiny', '--check']):\n"
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
  - {{claim: "1. | `claims` $too$\\n- <b>", arm: {json.dumps(ARM)}, task: sts, expect: helps, published: {{where: "| $p$"}}}}
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
        gathered = find_source("tiny", Path("runs"), Path("reports")).gather(text=False)
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
