"""Margins: the largest differences that do not matter, one for all scores or one for each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator

from mtl.documents.validation import wrong
from mtl.errors import ConfigError, short, suggestion
from mtl.tasks.registry import TASKS

DEFAULT_MARGIN = 0.01

Margin = float | dict[str, float]
"""One margin, or margins by score; a score that is left out has the default."""


def _score(value: Any) -> Any:
    if isinstance(value, str) and value not in scores():
        known = ", ".join(scores())
        message = f"expected one of {known}, got {short(value)}.{suggestion(value, scores())}"
        raise wrong(message)
    return value


ScoreName = Annotated[str, BeforeValidator(_score)]
"""A key of a definition's file: a task, or `overall`."""


def scores() -> tuple[str, ...]:
    """All scores that can have a margin."""
    return ("overall", *TASKS)


def margin_of(margin: float | Mapping[str, float], score: str) -> float:
    """The margin of a score.

    >>> margin_of({"sts": 0.03}, "sts"), margin_of({"sts": 0.03}, "overall"), margin_of(0.02, "sst")
    (0.03, 0.01, 0.02)
    """
    if isinstance(margin, Mapping):
        return float(margin.get(score, DEFAULT_MARGIN))
    return float(margin)


def margin_text(margins: Mapping[Any, float]) -> str:
    """`0.01`, or `0.01 (sts 0.03)` where scores have others than `overall`.

    >>> margin_text({"overall": 0.01, "sst": 0.01, "sts": 0.03})
    '0.01 (sts 0.03)'
    """
    usual = margins.get("overall", DEFAULT_MARGIN)
    others = [f"{score} {margin:g}" for score, margin in margins.items() if margin != usual]
    return f"{usual:g}" + (f" ({', '.join(others)})" if others else "")


def margin_of_words(words: Sequence[str]) -> Margin:
    """The margin that `0.02`, or words such as `sts=0.03`, stand for.

    Raises ConfigError for a word that is neither.
    """
    margins: dict[str, float] = {}
    for word in words:
        score, equals, number = word.rpartition("=")
        if not equals and len(words) > 1:
            raise ConfigError(
                f"--margin {word}: give one number for all scores, or each with its score, as in "
                "--margin overall=0.01 --margin sts=0.03."
            )
        if equals and score not in scores():
            hint = suggestion(score, scores()) or f" Scores are {', '.join(scores())}."
            raise ConfigError(f"--margin {word}: no score {score!r}.{hint}")
        if score in margins:
            raise ConfigError(f"--margin {word}: {score} is given a second time.")
        margins[score] = _number(word, number)
    return margins.get("", margins)


def _number(word: str, number: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise ConfigError(
            f"--margin {word}: expected a difference of scores, 0 or more, got {number!r}."
        )
    return value
