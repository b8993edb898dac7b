"""The results in the paper's form: models on dev and test, beside the published scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mtl.ablation.results import ArmResult, Score, metric_key, scores_of
from mtl.grid.wording import joined
from mtl.report.data import ReportData
from mtl.report.document import Block, Cell, Column, Paragraph, Section, Table, number, text
from mtl.report.published import PAPER, SCORES, published_row
from mtl.report.wording import metrics_in_words, names, summary_cell
from mtl.stats.summary import Summary, summarise
from mtl.tasks.registry import TASKS, course_names
from mtl.tasks.task import Published, TaskName


def section(data: ReportData) -> Section | None:
    arms = _rows(data)
    if not arms:
        return None
    matched = {arm.name: published_row(data.arms[arm.name].config) for arm in arms}
    beside = any(matched.values())
    heads = [Column(title="model"), Column(title="split")]
    scores_of_report = _scores(data)
    for score in scores_of_report:
        heads += [
            Column(title=score, kind="number"),
            *([Column(title="published", kind="number")] if beside else []),
        ]
    rows: list[tuple[Cell, ...]] = []
    for arm in arms:
        row = matched[arm.name]
        for split, name, scores in (
            ("dev", "best on dev", arm.best),
            ("", f"dev, {arm.basis or 'judged'}", arm.scores),
            ("", "dev, last epoch", {} if arm.basis == "last epoch" else arm.last),
            ("test", "test", test_scores(data, arm)),
        ):
            published = SCORES.get((row, split), {}) if row else {}
            if scores or published or split == "dev":
                shown = name if scores or split == "dev" else "test: not opened"
                line = {score: scores.get(score) for score in scores_of_report}
                rows.append(_line(arm.name, shown, line, published if beside else None))
    rows += _published(scores_of_report, beside)
    table = Table(name="scores", columns=tuple(heads), rows=tuple(rows), caption=_caption(data))
    blocks: list[Block] = [table]
    if set(_tasks(data)) & set(course_names()):
        blocks.append(Paragraph(text=_beside(data, arms)))
    return Section(title="Results", key="results", blocks=tuple(blocks))


def _published(scores: Sequence[Score], beside: bool) -> list[tuple[Cell, ...]]:
    """A row for every published model that the tasks' files name, with its score of each task."""
    models: dict[str, dict[Score, Published]] = {}
    for score in scores:
        for model, one in TASKS[score].published.items() if score != "overall" else ():
            models.setdefault(model, {})[score] = one
    rows = []
    for model, known in models.items():
        sources = dict.fromkeys(one.source for one in known.values())
        cells = [text(f"{model} ({'; '.join(sources)})"), text("published")]
        for score in scores:
            cells.append(number(known[score].score if score in known else None))
            cells += [text("-")] if beside else []
        rows.append(tuple(cells))
    return rows


def test_scores(data: ReportData, arm: ArmResult) -> dict[Score, Summary]:
    """The scores of an arm on test, over the seeds that opened it.

    The last opening of each seed counts.
    """
    by_score: dict[Score, list[float]] = {}
    for seed in arm.seeds:
        openings = [
            opening for opening in data.openings(arm.name, seed) if not opening.before_fresh
        ]
        metrics = openings[-1].metrics or {} if openings else {}
        for score in scores_of(arm.tasks):
            key = f"test/{metric_key(score)}"
            value = metrics.get(key)
            if value is not None:
                by_score.setdefault(score, []).append(value)
    summaries = {score: summarise(values) for score, values in by_score.items()}
    return {score: summary for score, summary in summaries.items() if summary is not None}


def _rows(data: ReportData) -> list[ArmResult]:
    """The baseline, the best arm, and the first arm that is each published model."""
    named: dict[str, None] = {data.baseline.name: None}
    seen = set()
    for arm in data.results.arms:
        row = published_row(data.arms[arm.name].config)
        if row is not None and row not in seen:
            seen.add(row)
            named[arm.name] = None
    if data.best is not None:
        named[data.best.name] = None
    return [
        arm
        for arm in data.results.arms
        if arm.name in named and (arm.scores or arm is data.baseline)
    ]


def _line(
    name: str,
    split: str,
    scores: Mapping[Score, Summary | None],
    published: Mapping[str, float] | None,
) -> tuple[Cell, ...]:
    cells = [text(name), text(split)]
    for score, summary in scores.items():
        cells.append(summary_cell(summary))
        if published is not None:
            cells.append(number(published.get(score)))
    return tuple(cells)


def _tasks(data: ReportData) -> list[TaskName]:
    trained = {task for arm in data.arms.values() for task in arm.config.tasks}
    return [task for task in TASKS if task in trained]


def _scores(data: ReportData) -> tuple[Score, ...]:
    several = any(len(arm.config.tasks) > 1 for arm in data.arms.values())
    return scores_of(_tasks(data)) if several else tuple(_tasks(data))


def _caption(data: ReportData) -> str:
    config = data.arms[data.baseline.name].config
    rule = (
        "the mean of the tasks"
        if config.overall == "mean"
        else "the mean of the tasks, a correlation as (r + 1) / 2"
    )
    chosen = {arm.config.train.select for arm in data.arms.values()}
    kept = {"best": "of the evaluation with the best dev overall", "last": "of the last step"}
    luck = (
        ". Dev chose them, so the best on dev is a little high, the more so the more evaluations; "
        "verdicts use the judged scores"
        if "best" in chosen
        else ""
    )
    overall = f", overall {rule}" if "overall" in _scores(data) else ""
    weights = joined([kept[chosen_rule] for chosen_rule in sorted(chosen)])
    return (
        "Mean ± sample standard deviation over n seeds; "
        f"{metrics_in_words(_tasks(data))}{overall}. Weights {weights}{luck}."
    )


def _beside(data: ReportData, arms: list[ArmResult]) -> str:
    config = data.arms[data.baseline.name].config
    matched = [arm.name for arm in arms if published_row(data.arms[arm.name].config)]
    if not matched:
        return "No arm here has the methods of a published model on."
    limits = {arm.config.limit for arm in data.arms.values()}
    rows = (
        f", {config.limit} training rows a task"
        if limits == {config.limit} and config.limit
        else ""
    )
    return (
        f"Published: {PAPER}, BERT-base on the course's data, one seed each; beside "
        f"{names(matched)}, where the same methods are on. Ours are encoder {config.encoder} on "
        f"data {config.data}{rows}: compare directions, not values."
    )
