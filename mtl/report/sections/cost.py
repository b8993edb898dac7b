"""What every arm cost: time, speed, memory, and the gain beside it."""

from __future__ import annotations

from mtl.ablation.results import ArmResult
from mtl.ablation.sentences import span
from mtl.grid.wording import NOTHING, duration
from mtl.report.data import ReportData
from mtl.report.document import Cell, Paragraph, Section, columns, number, table, text
from mtl.report.wording import mean_of


def section(data: ReportData) -> Section | None:
    rows = []
    seconds = 0.0
    for group in data.groups:
        for arm in group.arms:
            records = data.records(arm)
            seconds += sum(record.seconds or 0 for record in records)
            if records:
                rows.append(_row(data, arm, group.arms[0]))
    if not rows:
        return None
    devices = {
        record.environment.device
        for arm, seeds in data.design.runs.items()
        for seed in seeds
        if (record := data.record(arm, seed)) is not None
    }
    total = f"{duration(seconds)} of training in all, one run after the other."
    if len(devices) > 1:
        total += " Runs were on different devices: their times do not compare."
    heads = columns(
        "arm",
        "a run",
        "times baseline",
        "tokens/s",
        "examples/s",
        "peak memory, MiB",
        "gain",
        kinds="tnnnnnn",
    )
    caption = (
        "Means over seeds. A run: wall time with evaluations. Speeds: of the training steps "
        "alone, real tokens. Peak memory: of the process, so runs that share one share it. Gain: "
        "the difference in the score that decides. Times hang on what else the machine did."
    )
    return Section(
        title="Cost",
        key="cost",
        blocks=(Paragraph(text=total), table("cost", heads, rows, caption)),
    )


def _row(data: ReportData, arm: ArmResult, baseline: ArmResult) -> tuple[Cell, ...]:
    records = data.records(arm)
    mean = arm.seconds.mean if arm.seconds else None
    times = (
        mean / baseline.seconds.mean
        if mean and baseline.seconds and baseline.seconds.mean
        else None
    )
    speeds = {
        key: mean_of(getattr(record.throughput, key) for record in records)
        for key in ("tokens_per_second", "examples_per_second")
    }
    memory = mean_of(record.peak_memory for record in records)
    verdict = arm.verdicts.get(data.results.primary)
    gain = verdict.estimate if verdict is not None else None
    return (
        text(arm.name),
        Cell(text=NOTHING if mean is None else duration(mean), sort=mean),
        Cell(text=NOTHING if times is None else f"x{times:.2f}", sort=times),
        *(number(value, ".0f") for value in speeds.values()),
        number(None if memory is None else memory / 2**20, ".0f"),
        Cell(text=span(gain), sort=None if gain is None else gain.value),
    )
