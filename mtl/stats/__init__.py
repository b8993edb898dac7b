"""Statistics of runs: is a difference between two ways to train real, and how large is it?

A library of its own: it needs numpy and scipy, and knows neither torch nor the records of runs.
`judge` takes plain numbers. The modules behind it:

    examples    a run's score as a mean of values, one for each dev example
    layout      the variances of the differences of all pairs of arms
    moderation  the variance of one difference, moderated over the grid
    contrast    a difference of arms, paired by seed and by example
    estimate    its interval, p value and flags
    spending    levels for data that are judged several times
    decision    verdicts on a family of differences
    projection  what further seeds would make of them
    planning    what a design can find before its runs are there
    relative    relative gains over single-task arms (delta-m)
    effects     main effects, interactions and Shapley shares of a design's factors
    best_of     the best arm, beside the best by chance alone
"""

from mtl.stats.decision import Verdict, decide, holm
from mtl.stats.effects import interactions, main_effects, shapley
from mtl.stats.estimate import Estimate
from mtl.stats.examples import Arm, Examples
from mtl.stats.influence import pearson_values
from mtl.stats.judging import Judged, judge
from mtl.stats.planning import Plan, TaskVariance

__all__ = [
    "Arm",
    "Estimate",
    "Examples",
    "Judged",
    "Plan",
    "TaskVariance",
    "Verdict",
    "decide",
    "holm",
    "interactions",
    "judge",
    "main_effects",
    "pearson_values",
    "shapley",
]
