"""The seeds of each arm as one model: whether their mean does better than they do one by one."""

from __future__ import annotations

from collections.abc import Sequence

from mtl.ablation.ensembles import Ensemble
from mtl.ablation.results import Score
from mtl.ablation.sentences import level_of, span
from mtl.grid.wording import NOTHING
from mtl.report.data import ReportData
from mtl.report.document import Block, Cell, Column, Paragraph, Section, Table, text
from mtl.report.wording import names
from mtl.tasks.registry import TASKS


def section(data: ReportData) -> Section | None:
    """A table for each group of arms that compare; None where no arm has several seeds."""
    blocks: list[Block] = []
    kept = {ensemble.arm: ensemble for ensemble in data.archive.ensembles or ()}
    for number, group in enumerate(data.groups):
        ensembles = [kept[arm.name] for arm in group.arms if arm.name in kept]
        if not ensembles:
            continue
        if number:
            blocks.append(Paragraph(text=f"Apart from these: {group.basis}."))
        blocks.append(_table("ensembles" if number == 0 else f"ensembles-{number + 1}", ensembles))
    if not blocks:
        return None
    if chosen := [ensemble.arm for ensemble in kept.values() if ensemble.chosen_on_dev]:
        blocks.append(Paragraph(
            text=f"{names(chosen)}: the checkpoints of these runs were chosen on the dev rows that "
            "they are scored on here, and no cross-fitted outputs were kept. Their scores are "
            "optimistic, alone and together.", tone="note",
        ))  # fmt: skip
    return Section(title="Ensembles", key="ensembles", blocks=tuple(blocks))


def _table(name: str, ensembles: Sequence[Ensemble]) -> Table:
    scored = {score for ensemble in ensembles for score in ensemble.scores}
    shown = [score for score in (*TASKS, "overall") if score in scored]
    level = level_of([ensemble.difference for ensemble in ensembles])
    heads = [
        Column(title="arm"),
        Column(title="runs", kind="number"),
        *(Column(title=score, kind="number") for score in shown),
        Column(title=f"difference [{level}]", kind="number"),
        Column(title="verdict"),
    ]
    rows = []
    for ensemble in ensembles:
        difference = ensemble.difference
        count = len(difference.seeds)
        rows.append((
            text(ensemble.arm),
            Cell(text=str(count), sort=count),
            *(_score(ensemble, score) for score in shown),
            Cell(text=span(difference), sort=difference.value),
            text(ensemble.text),
        ))  # fmt: skip
    caption = (
        "The seeds of an arm as one model: the mean of their probabilities, or of their scores, on "
        "dev; in brackets, the mean score of the same runs one by one. Difference: ensemble minus "
        "that mean, in overall, or in the only task. Its interval is for these runs, on new "
        "examples: it does not say what other seeds would do. Verdicts are Holm-corrected over the "
        "arms."
    )
    if not any(ensemble.chosen_on_dev for ensemble in ensembles):
        caption += " No checkpoint was chosen on the rows that it is scored on here."
    return Table(name=name, columns=tuple(heads), rows=tuple(rows), caption=caption)


def _score(ensemble: Ensemble, score: Score) -> Cell:
    """`0.553 (0.531)`: the ensemble, and the mean of its members."""
    if score not in ensemble.scores:
        return Cell(text=NOTHING)
    value = ensemble.scores[score]
    return Cell(text=f"{value:.3f} ({ensemble.members[score]:.3f})", sort=value)
