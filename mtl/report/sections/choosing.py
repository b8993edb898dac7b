"""The price of choosing: the best arm beside the best by luck alone, and openings of test."""

from __future__ import annotations

from mtl.ablation.sentences import best_of
from mtl.grid.wording import plural
from mtl.report.data import ReportData
from mtl.report.document import Block, Cell, Paragraph, Section, columns, table, text


def section(data: ReportData) -> Section:
    results = data.results
    blocks: list[Block] = []
    if line := best_of(results):
        blocks.append(Paragraph(text=line))
    if results.looks > 1:
        blocks.append(
            Paragraph(
                text=f"The arms were judged {results.looks} times, each time with other seeds. The "
                "levels allow for that: alpha is spent in proportion to the seeds."
            )
        )
    rows, total = [], 0
    for arm in (arm for group in data.groups for arm in group.arms):
        opened = [(seed, data.openings(arm.name, seed)) for seed in data.design.seeds(arm.name)]
        count = sum(len(openings) for _, openings in opened)
        total += count
        if count:
            runs = "; ".join(
                f"seed {seed}: {len(openings)}" for seed, openings in opened if openings
            )
            rows.append((text(arm.name), Cell(text=str(count), sort=count), text(runs)))
    if not total:
        blocks.append(
            Paragraph(text="Test was not opened: arms were compared, and chosen, on dev alone.")
        )
    else:
        blocks.append(Paragraph(text=(
            f"Test was opened {plural(total, 'time')}. Arms are compared on dev; every look at "
            "test is counted here, since a score chosen by test is no test score."
        )))  # fmt: skip
        blocks.append(
            table("test-openings", columns("arm", "openings of test", "by seed", kinds="tnt"), rows)
        )
    return Section(title="Choosing, and openings of test", key="choosing", blocks=tuple(blocks))
