"""Every number of a report, recomputed from the prediction files with csv, numpy and scipy."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.optimize
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


Runs = list[RunFolder]
ARMS = ("baseline", "better", "same")


def differences(arm: Runs, baseline: Runs, task: str) -> np.ndarray:
    """What each example adds to the difference of two arms, (seeds, examples)."""
    pairs = zip(arm, baseline, strict=True)
    return np.array([contributions(a, task) - contributions(b, task) for a, b in pairs])


def squares(d: np.ndarray) -> tuple[float, float]:
    """Mean squares of examples and of error, from the textbook's sums of squares."""
    seeds, n = d.shape
    total = ((d - d.mean()) ** 2).sum()
    examples = seeds * ((d.mean(0) - d.mean()) ** 2).sum()
    rest = total - examples - n * ((d.mean(1) - d.mean()) ** 2).sum()
    return float(examples / (n - 1)), float(rest / ((n - 1) * (seeds - 1)))


def variances(arm: Runs, baseline: Runs, tasks: list[str]) -> tuple[float, float]:
    """Of one seed's difference: over the seeds, and what flips of examples make of it."""
    scores = [
        [metric(a, t) - metric(b, t) for t in tasks] for a, b in zip(arm, baseline, strict=True)
    ]
    flips = 0.0
    for task in tasks:
        d = differences(arm, baseline, task)
        flips += squares(d)[1] / d.shape[1] / len(tasks) ** 2
    return float(np.array(scores).mean(1).var(ddof=1)), flips


def moderated(
    pool: dict[str, Runs], arm: str, baseline: str, tasks: list[str]
) -> tuple[float, float]:
    """Smyth's variance of one seed's difference, and its degrees of freedom."""
    own, flips = variances(pool[arm], pool[baseline], tasks)
    d = len(pool[arm]) - 1
    e = {}
    for pair in itertools.combinations(pool, 2):
        s2, f = variances(pool[pair[0]], pool[pair[1]], tasks)
        e[pair] = math.log(max(s2 / f, 1e-4)) - scipy.special.digamma(d / 2) + math.log(d / 2)
    excess = np.var(list(e.values()), ddof=1) - scipy.special.polygamma(1, d / 2)
    d0 = 8.0
    if excess > scipy.special.polygamma(1, 4):
        gap = lambda x: scipy.special.polygamma(1, x / 2) - excess  # noqa: E731
        d0 = scipy.optimize.brentq(gap, 1e-3, 8)
    d0 = min(d0, (len(pool) - 2) * d)
    shift = scipy.special.digamma(d0 / 2) - math.log(d0 / 2)
    means = [
        np.mean([value for pair, value in e.items() if name is None or name in pair])
        for name in (None, arm, baseline)
    ]
    scale = max(1.0, *(math.exp(mean + shift) for mean in means))
    return (d0 * scale * flips + d * own) / (d0 + d), d0 + d


def interval(
    pool: dict[str, Runs], arm: str, tasks: list[str], baseline: str = "baseline"
) -> tuple[float, float, float]:
    """The difference and its 95 % interval for crossed seeds and examples; `pool` has all arms."""
    runs, others = pool[arm], pool[baseline]
    seeds = len(runs)
    scores = np.array(
        [[metric(a, t) - metric(b, t) for t in tasks] for a, b in zip(runs, others, strict=True)]
    )
    variance_of_seed, df_of_seeds = moderated(pool, arm, baseline, tasks)
    of_seeds = variance_of_seed / seeds
    parts, freedom = [], []
    for task in tasks:
        d = differences(runs, others, task)
        of_example, of_error = squares(d)
        n = d.shape[1]
        parts.append(max(0.0, of_example - of_error) / (seeds * n) / len(tasks) ** 2)
        freedom.append(n - 1)
    of_examples = sum(parts)
    df = (
        of_examples**2 / sum(p**2 / f for p, f in zip(parts, freedom, strict=True))
        if of_examples
        else sum(freedom)
    )
    t_seeds, t_examples = scipy.stats.t.ppf(0.975, df_of_seeds), scipy.stats.t.ppf(0.975, df)
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
    by_score = {row["arm"]: row for row in by_task}
    whole = {arm: runs(arm) for arm in ARMS}
    with_sts = whole | {"sts alone": runs("sts alone")}  # it trains sst and sts
    for arm in ("baseline", "better", "same"):
        for task in three:
            assert rows[arm][task] == spread([metric(run, task) for run in runs(arm)])
        assert rows[arm]["overall"] == spread(
            [float(np.mean([metric(run, task) for task in three])) for run in runs(arm)]
        )
    for arm in ("better", "same"):
        overall = interval(whole, arm, three)
        assert rows[arm]["difference of overall [95 %]"] == span(overall)
        assert by_score[arm]["overall [95 %]"] == span(overall)
        for task in three:
            pool = whole if task == "quora" else with_sts
            assert by_score[arm][f"{task} [95 %]"] == span(interval(pool, arm, [task]))
    assert rows["better"]["verdict"] == "helps"
    assert f"better ({interval(whole, 'better', three)[0]:+.3f})" in section(markdown, "Verdict")
    assert rows["sts alone"]["quora"] == "-"
    assert by_score["sts alone"]["sts [95 %]"] == span(interval(with_sts, "sts alone", ["sts"]))

    (results,) = tables(section(markdown, "Results"))
    assert results[0]["sst"] == rows["baseline"]["sst"]

    classes, _ = tables(section(markdown, "Classes"))
    for row in classes[:2]:
        near = [float((np.abs(outputs.argmax(1) - gold) <= 1).mean())
                for gold, outputs in (raw(run, "sst") for run in runs(row["model"]))]  # fmt: skip
        assert row["within one grade"] == spread(near)
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
    assert claims["1\\. Freezing helps sts"]["found"] == span(interval(with_sts, "better", ["sts"]))
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
        assert f"wrongly called duplicate, most confidently: {shown}" in look
    gold, outputs = raw(folders["better", 0], "sst")
    of_truth = scipy.special.softmax(outputs, axis=1)[np.arange(len(gold)), gold.astype(int)]
    assert f"probability {of_truth.min():.2g}; taken for" in look
    assert f"(sst-{of_truth.argmin():04d})" in look


def test_figures_are_drawn_from_the_numbers_of_the_raw_predictions() -> None:
    _, folders = fill()
    gathered = find_subject("tiny", Path("runs"), Path("reports")).gather(text=False)
    figures = {figure.name: figure.data for figure in make(gathered).document.figures()}
    for panel in figures["sst-confusion"]["panels"]:
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
            names = (*ARMS, "sts alone") if tasks in (["sst"], ["sts"]) else ARMS
            pool = {arm: [folders[arm, seed] for seed in range(4)] for arm in names}
            assert [line["value"], line["low"], line["high"]] == pytest.approx(
                interval(pool, line["arm"], tasks)
            )
    for panel in figures["curves"]["panels"]:
        for line in panel["lines"]:
            assert [[point[0] for point in run] for run in line["runs"]] == [[1.0, 2.0, 3.0]] * 4
