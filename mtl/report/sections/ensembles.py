"""The seeds of each arm as one model: whether their mean does better than they do one by one."""

from __future__ import annotations

from mtl.report.data import ReportData
from mtl.report.document import Cell, Paragraph, Section, columns, number, table, text


def section(data: ReportData) -> Section | None:
    """A row for each arm with several seeds; None where the records have none."""
    found = data.archive.ensembles
    if not found:
        return None
    tasks = list(dict.fromkeys(task for one in found for task in one.scores if task != "overall"))
    heads = columns(
        "arm", "runs", *tasks, "overall", "against one run", "95 % interval", "verdict",
        kinds="tn" + "n" * len(tasks) + "nntt",
    )  # fmt: skip
    rows = []
    for one in found:
        gain = one.scores[one.primary] - one.members[one.primary]
        low, high = one.interval
        rows.append(
            (
                text(one.arm),
                Cell(text=str(len(one.seeds)), sort=len(one.seeds)),
                *(number(one.scores.get(key)) for key in (*tasks, "overall")),
                Cell(text=f"{gain:+.3f}", sort=gain),
                text(f"[{low:+.3f}, {high:+.3f}]"),
                text(one.word),
            )
        )
    caption = (
        "The mean of the probabilities, or of the scores, of an arm's runs, scored on dev. Against "
        "one run: the gain over the mean score of the same runs one by one, in overall, or in the "
        "only task. The interval is over dev examples, for these very runs; verdicts are "
        "Holm-corrected over the arms."
    )
    notes = []
    if not all(one.cross_fitted for one in found):
        notes.append(
            Paragraph(
                text="Some runs kept no cross-fitted outputs. They were chosen on the rows that "
                "they are scored on here, alone and together.",
                tone="note",
            )
        )
    return Section(
        title="Ensembles",
        key="ensembles",
        blocks=(table("ensembles", heads, rows, caption), *notes),
    )
