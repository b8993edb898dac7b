"""What rules made of the tasks' weights, and where weights could not act."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mtl.report.document import Block, Paragraph, columns, table, text
from mtl.report.wording import mean_of, share, small
from mtl.runs.record import Record


def weight_blocks(arms: Mapping[str, Sequence[Record]]) -> list[Block]:
    """A table of the weights by arm and task; none where no arm has weights."""
    rows, idle = [], []
    for arm, records in arms.items():
        runs = [part for record in records if (part := record.diagnostics.task_weights)]
        idle += [
            f"{arm}: {reason}." for reason in dict.fromkeys(run.idle for run in runs) if reason
        ]
        for task in dict.fromkeys(task for run in runs for task in (*run.tasks, *run.clipped)):
            paths = [run.tasks[task] for run in runs if task in run.tasks]
            weights = [
                mean_of(path.per_epoch[0] for path in paths),
                mean_of(path.per_epoch[-1] for path in paths),
                mean_of(path.lowest for path in paths),
                mean_of(path.highest for path in paths),
            ]
            clipped = mean_of(run.clipped.get(task) for run in runs)
            rows.append(
                (text(arm), text(task), text(runs[0].rule), *map(small, weights), share(clipped))
            )
    if not rows:
        return []
    heads = columns(
        "arm", "task", "rule", "first epoch", "last epoch", "lowest", "highest", "clipped alone",
        kinds="tttnnnnn",
    )  # fmt: skip
    caption = (
        "Weights of the tasks' losses, means over seeds; first and last epoch: the weight in its "
        "last step; fixed weights are in the settings. Clipped alone: the share of a task's steps "
        "without another task whose gradient was clipped. There clipping divides the weight out "
        "again."
    )
    return [table("task-weights", heads, rows, caption), *(Paragraph(text=note) for note in idle)]
