"""The report of a study: what won, what mattered, every trial, and the cost of the search.

Made of the same parts as any report (`mtl.report.document`), from results alone.
"""

from __future__ import annotations

from mtl.grid.wording import duration, mean_sd
from mtl.report.document import (
    Block,
    Document,
    Figure,
    Listing,
    Paragraph,
    Section,
    columns,
    number,
    table,
    text,
)
from mtl.study.objectives import Objective
from mtl.study.results import MOST_WINNERS, StudyResults
from mtl.study.sentences import effort, importance_table, values_in_words
from mtl.study.space import in_words

HISTORY, IMPORTANCES, FRONT = "study-history", "study-importances", "study-front"
"""How figures are drawn (`mtl.report.studies.drawings`)."""


def study_document(results: StudyResults) -> Document:
    """The report of a study."""
    sections = [_winner(results), _importances(results), _history(results), _space(results)]
    return Document(
        name=results.name,
        title=f"{results.name}: a study",
        lead=results.question,
        sections=tuple(section for section in sections if section.blocks),
    )


def _winner(results: StudyResults) -> Section:
    fresh = {one.trial: one for one in results.fresh}
    blocks: list[Block] = []
    if not results.front:
        blocks.append(Paragraph(text="No trial is done yet.", tone="verdict"))
    if (best := results.best) is not None:
        won = values_in_words(best, results)
        blocks.append(
            Paragraph(
                text=f"Best: trial {best.number}: {in_words(best.point) or 'the base'}.",
                tone="verdict",
            )
        )
        again = fresh.get(best.number)
        key = results.objectives[0].key
        if again is not None and key in again.scores:
            said = f"On {again.scores[key].n} fresh seeds it scores {mean_sd(again.scores[key])}"
        else:
            said = "It has not been run on fresh seeds"
        blocks.append(Paragraph(
            text=f"It won with {won} on the seeds that it was chosen on, {list(results.seeds)}. "
            f"{said}. The score that won is that of the luckiest of many trials, so what is to be "
            "expected of these settings is the score on fresh seeds. Whether they beat the base, "
            "and which of them matters, is not judged here: mtl study ablate does it, on fresh "
            "seeds with verdicts."
        ))  # fmt: skip
    elif results.front:
        first = "; ".join(_extreme(results, at) for at in range(len(results.objectives)))
        blocks.append(
            Paragraph(text=f"{len(results.front)} trials on the front: {first}.", tone="verdict")
        )
    if results.front:
        heads = columns("trial", *(one.key for one in results.objectives), *(f"{one.key}, fresh seeds" for one in results.objectives),
                        "settings", kinds="n" + "n" * len(results.objectives) + "t" * len(results.objectives) + "t")  # fmt: skip
        rows = []
        for trial in results.winners():
            scores = fresh[trial.number].scores if trial.number in fresh else {}
            rows.append([
                number(trial.number, "d"), *(number(value) for value in trial.values),
                *(text(mean_sd(scores.get(one.key))) for one in results.objectives), text(in_words(trial.point)),
            ])  # fmt: skip
        what = (
            "The best trial."
            if len(results.objectives) == 1
            else "The Pareto front: no trial beats one of these in everything."
        )
        if len(results.front) > MOST_WINNERS:
            what += f" The first {MOST_WINNERS} were run on fresh seeds."
        caption = f"{what} Fresh seeds had no part in choosing: mean ± sample standard deviation."
        blocks.append(table("winners", heads, rows, caption))
    missing = [
        f"trial {one.trial}, seed {seed}: {why}"
        for one in results.fresh
        for seed, why in one.missing.items()
    ]
    if missing:
        blocks.append(Paragraph(text="Missing on fresh seeds:"))
        blocks.append(Listing(items=tuple(missing)))
    if len(results.objectives) == 2 and any(trial.values for trial in results.trials):
        blocks.append(_front(results))
    return Section(title="What won", key="won", blocks=tuple(blocks))


def _extreme(results: StudyResults, at: int) -> str:
    """`trial 4 has the best dev/overall (0.543)`."""
    objective = results.objectives[at]
    best = max(results.winners(), key=lambda trial: trial.values[at] * objective.sign)
    return f"trial {best.number} has the best {objective.key} ({best.values[at]:.3f})"


def _front(results: StudyResults) -> Figure:
    one, other = results.objectives
    points = [
        [*trial.values, trial.number in results.front] for trial in results.trials if trial.values
    ]
    return Figure(
        name="front",
        drawing=FRONT,
        caption=f"Every trial that is done, by {one.key} and {other.key}; those on the front are "
        "filled.",
        alt=f"{len(points)} trials, {len(results.front)} of them on the front.",
        data={"x": one.key, "y": other.key, "points": points},
    )


def _importances(results: StudyResults) -> Section:
    blocks: list[Block] = []
    for objective in results.objectives:
        titles, rows, notes = importance_table(results, objective.key)
        if rows:
            blocks.append(_shares(results, objective))
            heads = columns(*titles, kinds="t" + "n" * (len(titles) - 1))
            cells = [
                [
                    text(row[0]),
                    *(number(None if share == "-" else float(share), ".2f") for share in row[1:]),
                ]
                for row in rows
            ]
            caption = (
                f"Shares of what mattered for {objective.key}. PED-ANOVA: what tells the good "
                "trials from all; fANOVA: what explains the score over the whole space. They "
                "answer different questions and may disagree."
            )
            blocks.append(
                table(f"importances-{objective.key.replace('/', '-')}", heads, cells, caption)
            )
        blocks += [Paragraph(text=note, tone="note") for note in notes]
    return Section(title="What mattered", key="mattered", blocks=tuple(blocks))


def _shares(results: StudyResults, objective: Objective) -> Figure:
    found = [one for one in results.importances if one.objective == objective.key and one.shares]
    names = [row[0] for row in importance_table(results, objective.key)[1]]
    return Figure(
        name=f"importances-{objective.key.replace('/', '-')}",
        drawing=IMPORTANCES,
        caption=f"What mattered for {objective.key}, by two evaluators.",
        alt="; ".join(f"{one.evaluator}: " + ", ".join(f"{name} {one.shares[name]:.2f}" for name in names if name in one.shares)
                      for one in found),
        data={"names": names, "shares": {one.evaluator: [one.shares.get(name) for name in names] for one in found}},
    )  # fmt: skip


def _history(results: StudyResults) -> Section:
    blocks: list[Block] = [Paragraph(text=effort(results))]
    if len(results.objectives) == 1 and (history := results.history()):
        key = results.objectives[0].key
        pruned = [one.number for one in results.trials if one.outcome == "pruned"]
        blocks.append(Figure(
            name="history",
            drawing=HISTORY,
            caption=f"{key} of every trial that is done, and the best so far; ticks are trials "
            "that were pruned.",
            alt=f"The best {key} rises from {history[0][2]:.3f} to {history[-1][2]:.3f} over "
            f"{len(results.counted)} trials."
            if results.objectives[0].sign > 0 else f"The best {key} falls from {history[0][2]:.3f} to {history[-1][2]:.3f}.",
            data={"key": key, "trials": [list(one) for one in history], "pruned": pruned},
        ))  # fmt: skip
    heads = columns("trial", *(one.key for one in results.objectives), "ended", "steps", "time", "settings",
                    kinds="n" + "n" * len(results.objectives) + "tntt")  # fmt: skip
    rows = []
    for one in results.trials:
        if one.outcome in ("lost", "surplus"):
            continue
        values = [number(value) for value in one.values] or [number(None)] * len(results.objectives)
        ended = one.outcome if one.same_as is None else f"as trial {one.same_as}"
        time = "-" if one.seconds is None else duration(one.seconds)
        name = f"{one.first}: " if one.first else ""
        rows.append([
            number(one.number, "d"), *values, text(ended), number(one.steps, "d"), text(time), text(name + in_words(one.point))
        ])  # fmt: skip
    blocks.append(
        table(
            "trials", heads, rows, "Every trial. Steps are those trained, over the trial's seeds."
        )
    )
    reasons = [f"trial {one.number}: {one.reason}" for one in results.trials
               if one.reason and one.outcome in ("failed", "diverged", "undefined")]  # fmt: skip
    if reasons:
        blocks.append(Listing(items=tuple(reasons)))
    return Section(title="Every trial", key="trials", blocks=tuple(blocks))


def _space(results: StudyResults) -> Section:
    rows = [[text(name), text(values)] for name, values in results.space.items()]
    budget = " or ".join(f"{value:g} {unit}" for unit, value in results.budget.items())
    searched = (
        f"Sampler {results.sampler}, pruner {results.pruner}, seeds {list(results.seeds)} a "
        f"trial, a budget of {budget or 'no limit'}. Objective: "
        f"{', '.join(f'{one.direction} {one.key}' for one in results.objectives)}."
    )
    heads = columns("parameter", "values", kinds="tt")
    return Section(
        title="What was searched", key="space", blocks=(Paragraph(text=searched), table("space", heads, rows)),
    )  # fmt: skip
