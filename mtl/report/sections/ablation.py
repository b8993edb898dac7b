"""The ablation table: ticks for methods, scores, differences, verdicts and costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtl.ablation.results import ArmResult, Difference, Results, Score, Verdict
from mtl.ablation.sentences import (
    basis,
    cost,
    exploratory,
    level_of,
    probability,
    span,
    variance,
)
from mtl.grid.wording import NOTHING, plural
from mtl.report.data import ReportData
from mtl.report.document import (
    Block,
    Cell,
    Column,
    Figure,
    Paragraph,
    Section,
    Table,
    text,
)
from mtl.report.wording import (
    method_cell,
    methods_on,
    metrics_in_words,
    other_changes,
    summary_cell,
)
from mtl.tasks.registry import TASKS


def section(data: ReportData) -> Section | None:
    if data.is_single_run:
        return None
    blocks: list[Block] = []
    for number, group in enumerate(data.groups):
        name = "ablation" if number == 0 else f"ablation-{number + 1}"
        if number:
            blocks.append(
                Paragraph(
                    text="Apart from these, because nothing here compares with the above: "
                    f"{group.basis}."
                )
            )
        blocks.append(_table(name, data, group))
    if any(verdict.estimate for arm in data.results.arms for verdict in arm.verdicts.values()):
        blocks.append(_by_task(data))
    if figure := _effects(data):
        blocks.append(figure)
    return Section(title="Ablation", key="ablation", blocks=tuple(blocks))


def scores_shown(results: Results) -> list[Score]:
    """The scores that any arm has, in order."""
    order: tuple[Score, ...] = (*TASKS, "overall")
    return [
        score
        for score in order
        if any(score in arm.scores or score in arm.verdicts for arm in results.arms)
    ]


def difference_cell(arm: ArmResult, score: Score) -> Cell:
    """A difference with its interval, sorted by the difference."""
    verdict = arm.verdicts.get(score)
    difference = None if verdict is None else verdict.estimate
    return Cell(text=span(difference), sort=None if difference is None else difference.value)


def _table(name: str, data: ReportData, results: Results) -> Table:
    arms = {arm.name: data.arms[arm.name] for arm in results.arms}
    methods = methods_on([arm.config for arm in arms.values()])
    others = {arm.name: other_changes(arm.changes) for arm in arms.values()}
    shown = scores_shown(results)
    heads = [Column(title="arm"), *(Column(title=method, kind="ticks") for method in methods)]
    if any(others.values()):
        heads.append(Column(title="also"))
    heads += [Column(title=score, kind="number") for score in shown]
    level = _level(results, results.primary)
    heads += [
        Column(title=f"difference of {results.primary} [{level}]", kind="number"),
        Column(title="P(> 0)", kind="number"),
        Column(title="verdict"),
    ]
    heads.append(Column(title="cost", kind="number"))
    rows = []
    for arm in results.arms:
        cells = [
            text(arm.name),
            *(method_cell(method, arms[arm.name].config) for method in methods),
        ]
        if any(others.values()):
            cells.append(text(others[arm.name]))
        cells += [_score(arm, score) for score in shown]
        verdict = arm.verdicts.get(results.primary)
        cells += [difference_cell(arm, results.primary), text(probability(verdict))]
        cells.append(_verdict(arm, results))
        cells.append(
            Cell(
                text=cost(arm, results.arms[0]),
                sort=arm.seconds.mean if arm.seconds else None,
            )
        )
        rows.append(tuple(cells))
    caption = (
        "Dev scores, mean ± sample standard deviation over n seeds. Ticks: the method is on; "
        "only methods that differ between arms have a column. Differences from "
        f"{results.baseline} with their intervals over seeds and examples; a verdict also needs "
        "Holm's correction over the arms. P(> 0): the probability of a gain. Cost: mean seconds of "
        f"a run, and times the baseline's. {basis(results)} {variance(results)}"
    )
    return Table(name=name, columns=tuple(heads), rows=tuple(rows), caption=caption)


def _score(arm: ArmResult, score: Score) -> Cell:
    has = score in arm.tasks or (score == "overall" and len(arm.tasks) > 1)
    return summary_cell(arm.scores.get(score), "missing" if has else NOTHING)


def _verdict(arm: ArmResult, results: Results) -> Cell:
    if arm.name == results.baseline:
        return text("baseline")
    if verdict := arm.verdicts.get(results.primary):
        return text(verdict.text + exploratory(verdict))
    if not arm.seeds:
        return text("missing")
    return text("other tasks: see claims" if results.claims else "other tasks")


def _by_task(data: ReportData) -> Table:
    results = data.results
    shown = scores_shown(results)
    heads = [Column(title="arm")]
    for score in shown:
        heads.append(Column(title=f"{score} [{_level(results, score)}]", kind="number"))
        heads += [Column(title=f"{score}: / sd", kind="number"), Column(title=f"{score}: verdict")]
    rows = []
    for arm in results.arms[1:]:
        cells = [text(arm.name)]
        for score in shown:
            verdict = arm.verdicts.get(score)
            words = verdict.text + exploratory(verdict) if verdict else NOTHING
            cells += [difference_cell(arm, score), _in_sd(verdict), text(words)]
        rows.append(tuple(cells))
    caption = (
        f"Differences from {results.baseline} on dev by score, each score judged over all arms "
        "together. / sd: the difference in standard deviations of a score over seeds."
    )
    return Table(name="differences", columns=tuple(heads), rows=tuple(rows), caption=caption)


def _in_sd(verdict: Verdict | None) -> Cell:
    value = None if verdict is None else verdict.per_seed_sd
    return Cell(text=NOTHING if value is None else f"{value:+.1f}", sort=value)


def _level(results: Results, score: Score) -> str:
    verdicts = (arm.verdicts.get(score) for arm in results.arms)
    return level_of([verdict.estimate for verdict in verdicts if verdict is not None])


def _effects(data: ReportData) -> Figure | None:
    results = data.results
    panels: list[dict[str, Any]] = []
    for score in ordered(results, scores_shown(results)):
        lines = []
        for arm in results.arms[1:]:
            verdict = arm.verdicts.get(score)
            if verdict is not None and verdict.estimate is not None:
                lines.append({"arm": arm.name, "word": verdict.word} | interval(verdict.estimate))
        if lines:
            panels.append({"score": score, "margin": results.margins[score], "lines": lines})
    if not panels:
        return None
    if len(panels) == 1:
        unit = f"difference of {panels[0]['score']} on dev"
    else:
        tasks = [panel["score"] for panel in panels if panel["score"] != "overall"]
        unit = f"difference on dev ({metrics_in_words(tasks)}; overall: their mean)"
    count = len({line["arm"] for panel in panels for line in panel["lines"]})
    return Figure(
        name="effects",
        drawing="effects",
        caption=f"Difference from {results.baseline} on dev, with the intervals over seeds and "
        "examples that decide. The grey band is the margin, inside which a difference does not "
        "matter.",
        alt=f"Differences of {plural(count, 'arm')} from the baseline with intervals; the numbers "
        "are in the table of differences.",
        data={"baseline": results.baseline, "panels": panels, "unit": unit},
    )


def interval(difference: Difference) -> dict[str, float]:
    """A difference and its interval, for a figure."""
    return {"value": difference.value, "low": difference.low, "high": difference.high}


def ordered(results: Results, shown: Sequence[Score]) -> list[Score]:
    """The score that decides first."""
    return [results.primary, *(score for score in shown if score != results.primary)]
