"""The table of relative gains, for the terminal and for reports."""

from __future__ import annotations

from collections.abc import Sequence

from mtl.ablation.results import Delta, Difference, RelativeGain
from mtl.ablation.sentences import level_of
from mtl.grid.wording import NOTHING


def delta_columns(delta: Delta) -> list[str]:
    """`arm`, `seeds`, a column a task, and the mean with its interval."""
    level = level_of([gain.estimate for gain in delta.gains])
    return ["arm", "seeds", *delta.singles, f"mean relative gain [{level}]"]


def delta_row(gain: RelativeGain, tasks: Sequence[str]) -> list[str]:
    """The texts of an arm's row, below `delta_columns`."""
    estimate, mark = gain.estimate, " (exploratory)" if gain.planned is False else ""
    return [
        gain.arm,
        NOTHING if estimate is None else str(len(estimate.seeds)),
        *(share(gain.tasks[task]) if task in gain.tasks else NOTHING for task in tasks),
        f"unknown: {gain.reason}" if estimate is None else share_span(estimate) + mark,
    ]


def share(value: float) -> str:
    """`+3.1 %`: a share with its sign; one that prints as zero has none.

    >>> share(0.031), share(-0.0001)
    ('+3.1 %', '0.0 %')
    """
    percent = round(100 * value, 1)
    return f"{percent:+.1f} %" if percent else "0.0 %"


def share_span(estimate: Difference) -> str:
    """`+3.1 % [+1.2 %, +5.0 %]`."""
    return f"{share(estimate.value)} [{share(estimate.low)}, {share(estimate.high)}]"


def delta_explanation(delta: Delta) -> str:
    """How to read the table, in sentences."""
    singles = ", ".join(f"{arm} ({task})" for task, arm in delta.singles.items())
    return (
        f"Relative gain: what an arm scores above the arm that trains the task alone ({singles}), "
        "as a share of that arm's score; the mean over these tasks is delta-m (Maninis et al. "
        "2019). Of errors, less is better, and counts as a gain. Intervals are over seeds and "
        "examples, one arm at a time: they are not corrected for the number of arms."
    )
