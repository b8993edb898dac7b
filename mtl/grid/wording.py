"""How numbers, times and lists are written, on the terminal and in reports."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mtl.stats.summary import Summary

NOTHING = "-"
"""What stands where there is nothing to show."""


def mean_sd(summary: Summary | None, *, count: bool = False) -> str:
    """Mean and sample standard deviation: `0.812 ± 0.006`.

    With `count` also the number of seeds: `0.812 ± 0.006 (sd, n=3)`.

    One seed has no spread: `0.812`, with `count` `0.812 (n=1)`. None is `-`.
    """
    if summary is None:
        return NOTHING
    spread = "" if summary.sd is None else f" ± {summary.sd:.3f}"
    seeds = f" ({'' if summary.sd is None else 'sd, '}n={summary.n})" if count else ""
    return f"{summary.mean:.3f}{spread}{seeds}"


def signed(*values: float) -> list[str]:
    """`+0.031`: numbers that belong together, with three decimals.

    Where the largest would print as 0.001 or 0.000 they get as many decimals as it needs. A number
    that prints as zero has no sign.
    """
    largest = max(map(abs, values))
    decimals = (
        3 if largest >= 0.0015 or largest == 0 else min(9, max(4, math.ceil(-math.log10(largest))))
    )
    rounded = [round(value, decimals) for value in values]
    return [f"{value:+.{decimals}f}" if value else f"{0:.{decimals}f}" for value in rounded]


def duration(seconds: float) -> str:
    """`42 s`, `12 min`, `3.4 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def plural(count: int, word: str) -> str:
    """`1 run`, `3 runs`."""
    return f"{count} {word}{'' if count == 1 else 's'}"


def joined(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))
