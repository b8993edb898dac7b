"""Every number of a report, recomputed from the prediction files with csv, numpy and scipy."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import scipy.stats

from mtl.report.publish import make
from mtl.report.subject import find_subject
from mtl.runs.folder import RunFolder
from tests.report_tools import built, fill, in_an_empty_folder, metric, raw, right, section, tables

__all__ = ["in_an_empty_folder"]


# --- the same numbers by other means: csv, numpy and scipy on the raw files


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
    """The difference and its 95 % interval for crossed seeds and examples.

    From the textbook's sums of squares.
    """
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
    for name, place in (
        ("smallest residual", np.abs(residual).argmin()),
        ("largest residual above the line", residual.argmax()),
    ):
        numbers = f"gold {gold[place]:.2f}, predicted {outputs[place, 0]:.2f}"
        line = f"- {name}: {numbers}, residual {residual[place]:+.3f} (sts-{place:04d})"
        assert line in look
    gold, outputs = raw(folders["better", 0], "quora")
    false = np.where(gold == 0, outputs[:, 0], -np.inf).argmax()
    if outputs[false, 0] > 0:
        probability = 1 / (1 + math.exp(-outputs[false, 0]))
        shown = f"probability {probability:.3f} (quora-{false:04d})"
        assert f"wrongly called paraphrase, most confidently: {shown}" in look
    gold, outputs = raw(folders["better", 0], "sst")
    of_truth = scipy.special.softmax(outputs, axis=1)[np.arange(len(gold)), gold.astype(int)]
    assert f"probability {of_truth.min():.2g}; taken for" in look
    assert f"(sst-{of_truth.argmin():04d})" in look


def test_figures_are_drawn_from_the_numbers_of_the_raw_predictions() -> None:
    _, folders = fill()
    gathered = find_subject("tiny", Path("runs"), Path("reports")).gather(text=False)
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
