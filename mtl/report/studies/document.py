"""The report of a study: what won, what mattered, every trial, and the cost of the search."""

from __future__ import annotations

from mtl.grid.wording import NOTHING, duration, mean_sd
from mtl.report.document import (
    Block,
    Cell,
    Document,
    Figure,
    Listing,
    Paragraph,
    Section,
    Table,
    columns,
    number,
    table,
    text,
)
from mtl.study.objectives import Objective
from mtl.study.results import MOST_WINNERS, Fresh, StudyResults, TrialResult
from mtl.study.sentences import effort, importance_table, values_in_words
from mtl.study.space import in_words

HISTORY, IMPORTANCES, FRONT = "study-history", "study-importances", "study-front"
"""How figures are drawn (`mtl.report.studies.drawings`)."""


def study_document(results: StudyResults) -> Document:
    """The report of a study."""
    sections = [_winners(results), _importances(results), _history(results), _space(results)]
    return Document(
        name=results.name,
        title=f"{results.name}: a study",
        lead=results.question,
        sections=tuple(section for section in sections if section.blocks),
    )


def _winners(results: StudyResults) -> Section:
    fresh = {scores.trial: scores for scores in results.fresh}
    blocks = _verdict(results, fresh)
    if results.front:
        blocks.append(_table_of_winners(results, fresh))
    missing = [
        f"trial {scores.trial}, seed {seed}: {reason}"
        for scores in results.fresh
        for seed, reason in scores.missing.items()
    ]
    if missing:
        blocks.append(Paragraph(text="Missing on fresh seeds:"))
        blocks.append(Listing(items=tuple(missing)))
    if len(results.objectives) == 2 and any(trial.values for trial in results.trials):
        blocks.append(_front(results))
    return Section(title="What won", key="won", blocks=tuple(blocks))


def _verdict(results: StudyResults, fresh: dict[int, Fresh]) -> list[Block]:
    """What won, and what that is worth."""
    if not results.front:
        return [Paragraph(text="No trial is done yet.", tone="verdict")]
    best = results.best
    if best is None:
        first = "; ".join(_extreme(results, at) for at in range(len(results.objectives)))
        verdict = f"{len(results.front)} trials on the front: {first}."
        return [Paragraph(text=verdict, tone="verdict")]
    verdict = f"Best: trial {best.number}: {in_words(best.point) or 'the base'}."
    explanation = (
        f"It won with {values_in_words(best, results)} on the seeds that it was chosen on, "
        f"{list(results.seeds)}. {_on_fresh_seeds(best, results, fresh)}. The score that won is "
        "that of the luckiest of many trials, so what is to be expected of these settings is the "
        "score on fresh seeds. Whether they beat the base, and which of them matters, is not "
        "judged here: mtl study ablate does it, on fresh seeds with verdicts."
    )
    return [Paragraph(text=verdict, tone="verdict"), Paragraph(text=explanation)]


def _on_fresh_seeds(best: TrialResult, results: StudyResults, fresh: dict[int, Fresh]) -> str:
    key = results.objectives[0].key
    scores = fresh[best.number].scores if best.number in fresh else {}
    if key not in scores:
        return "It has not been run on fresh seeds"
    return f"On {scores[key].n} fresh seeds it scores {mean_sd(scores[key])}"


def _extreme(results: StudyResults, at: int) -> str:
    """`trial 4 has the best dev/overall (0.543)`."""
    objective = results.objectives[at]
    best = max(results.winners(), key=lambda trial: trial.values[at] * objective.sign)
    return f"trial {best.number} has the best {objective.key} ({best.values[at]:.3f})"


def _table_of_winners(results: StudyResults, fresh: dict[int, Fresh]) -> Table:
    keys = [objective.key for objective in results.objectives]
    heads = columns(
        "trial",
        *keys,
        *(f"{key}, fresh seeds" for key in keys),
        "settings",
        kinds="n" + "n" * len(keys) + "t" * len(keys) + "t",
    )
    rows = []
    for trial in results.winners():
        scores = fresh[trial.number].scores if trial.number in fresh else {}
        rows.append(
            [
                number(trial.number, "d"),
                *(number(value) for value in trial.values),
                *(text(mean_sd(scores.get(key))) for key in keys),
                text(in_words(trial.point)),
            ]
        )
    rule = (
        "The best trial."
        if len(keys) == 1
        else "The Pareto front: no trial beats one of these in everything."
    )
    if len(results.front) > MOST_WINNERS:
        rule += f" The first {MOST_WINNERS} were run on fresh seeds."
    caption = f"{rule} Fresh seeds had no part in choosing: mean ± sample standard deviation."
    return table("winners", heads, rows, caption)


def _front(results: StudyResults) -> Figure:
    x, y = (objective.key for objective in results.objectives)
    points = [
        [*trial.values, trial.number in results.front] for trial in results.trials if trial.values
    ]
    return Figure(
        name="front",
        drawing=FRONT,
        caption=f"Every trial that is done, by {x} and {y}; those on the front are filled.",
        alt=f"{len(points)} trials, {len(results.front)} of them on the front.",
        data={"x": x, "y": y, "points": points},
    )


def _importances(results: StudyResults) -> Section:
    blocks: list[Block] = []
    for objective in results.objectives:
        titles, rows, notes = importance_table(results, objective.key)
        if rows:
            blocks.append(_figure_of_importances(results, objective))
            heads = columns(*titles, kinds="t" + "n" * (len(titles) - 1))
            cells = [[text(row[0]), *map(_share, row[1:])] for row in rows]
            caption = (
                f"Shares of what mattered for {objective.key}. PED-ANOVA: what tells the good "
                "trials from all; fANOVA: what explains the score over the whole space. They "
                "answer different questions and may disagree."
            )
            blocks.append(table(_name(objective), heads, cells, caption))
        blocks += [Paragraph(text=note, tone="note") for note in notes]
    return Section(title="What mattered", key="mattered", blocks=tuple(blocks))


def _share(share: str) -> Cell:
    return number(None if share == NOTHING else float(share), ".2f")


def _name(objective: Objective) -> str:
    return f"importances-{objective.key.replace('/', '-')}"


def _figure_of_importances(results: StudyResults, objective: Objective) -> Figure:
    names = [row[0] for row in importance_table(results, objective.key)[1]]
    shares = {
        importance.evaluator: importance.shares
        for importance in results.importances
        if importance.objective == objective.key and importance.shares
    }
    sentences = (
        f"{evaluator}: " + ", ".join(f"{name} {of[name]:.2f}" for name in names if name in of)
        for evaluator, of in shares.items()
    )
    return Figure(
        name=_name(objective),
        drawing=IMPORTANCES,
        caption=f"What mattered for {objective.key}, by two evaluators.",
        alt="; ".join(sentences),
        data={
            "names": names,
            "shares": {
                evaluator: [of.get(name) for name in names] for evaluator, of in shares.items()
            },
        },
    )


def _history(results: StudyResults) -> Section:
    blocks: list[Block] = [Paragraph(text=effort(results))]
    if len(results.objectives) == 1 and results.history():
        blocks.append(_figure_of_history(results))
    blocks.append(_table_of_trials(results))
    reasons = [
        f"trial {trial.number}: {trial.reason}"
        for trial in results.trials
        if trial.reason and trial.outcome in ("failed", "diverged", "undefined")
    ]
    if reasons:
        blocks.append(Listing(items=tuple(reasons)))
    return Section(title="Every trial", key="trials", blocks=tuple(blocks))


def _figure_of_history(results: StudyResults) -> Figure:
    history, objective = results.history(), results.objectives[0]
    first, last = history[0][2], history[-1][2]
    alt = f"The best {objective.key} falls from {first:.3f} to {last:.3f}."
    if objective.sign > 0:
        count = len(results.counted)
        alt = f"The best {objective.key} rises from {first:.3f} to {last:.3f} over {count} trials."
    return Figure(
        name="history",
        drawing=HISTORY,
        caption=f"{objective.key} of every trial that is done, and the best so far; ticks are "
        "trials that were pruned.",
        alt=alt,
        data={
            "key": objective.key,
            "trials": [list(point) for point in history],
            "pruned": [trial.number for trial in results.trials if trial.outcome == "pruned"],
        },
    )


def _table_of_trials(results: StudyResults) -> Table:
    keys = [objective.key for objective in results.objectives]
    kinds = "n" + "n" * len(keys) + "tntt"
    heads = columns("trial", *keys, "ended", "steps", "time", "settings", kinds=kinds)
    rows = [
        _row_of_trial(trial, len(keys))
        for trial in results.trials
        if trial.outcome not in ("lost", "surplus")
    ]
    caption = "Every trial. Steps are those trained, over the trial's seeds."
    return table("trials", heads, rows, caption)


def _row_of_trial(trial: TrialResult, objectives: int) -> list[Cell]:
    values = [number(value) for value in trial.values] or [number(None)] * objectives
    ended = trial.outcome if trial.same_as is None else f"as trial {trial.same_as}"
    name = f"{trial.first}: " if trial.first else ""
    return [
        number(trial.number, "d"),
        *values,
        text(ended),
        number(trial.steps, "d"),
        text(NOTHING if trial.seconds is None else duration(trial.seconds)),
        text(name + in_words(trial.point)),
    ]


def _space(results: StudyResults) -> Section:
    rows = [[text(name), text(values)] for name, values in results.space.items()]
    budget = " or ".join(f"{value:g} {unit}" for unit, value in results.budget.items())
    objectives = ", ".join(
        f"{objective.direction} {objective.key}" for objective in results.objectives
    )
    settings = (
        f"Sampler {results.sampler}, pruner {results.pruner}, seeds {list(results.seeds)} a trial, "
        f"a budget of {budget or 'no limit'}. Objective: {objectives}."
    )
    heads = columns("parameter", "values", kinds="tt")
    return Section(
        title="What was searched",
        key="space",
        blocks=(Paragraph(text=settings), table("space", heads, rows)),
    )
