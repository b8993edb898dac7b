"""The rules for valid ids, sentences and labels, one cell at a time.

Course files, hub data and rows to be written all follow these rules. Nothing is guessed: an empty
sentence or label is never filled in, and a label is a decimal number in the task's range.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from mtl.errors import DataError, suggestion
from mtl.tasks.task import Task

MAX_CELL = 131_072
"""Most characters in a cell (the limit of the csv module). A longer cell is a quoting fault."""
MAX_WORDS = 12
"""Most label words in a message."""
MAX_SHOWN = 20
"""Most problems of a file in one message."""

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_SURROGATE = re.compile("[\ud800-\udfff]")
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)


def shown(text: str) -> str:
    """`text` in quotes on one line, control characters escaped, cut to about 40 characters."""
    return repr(text) if len(text) <= 40 else f"{text[:37]!r}..."


def sentence_problem(text: str) -> str | None:
    """Why `text` is not a valid sentence, or None."""
    if not text.strip():
        state = "holds only white space" if text else "is empty"
        return f"expected a sentence, the cell {state}. Fill it in"
    return character_problem(text)


def id_problem(text: str) -> str | None:
    """Why `text` is not a valid id, or None."""
    if not text.strip():
        return "expected an id, the cell is empty. Give each row its own id"
    return character_problem(text)


def character_problem(text: str) -> str | None:
    """Why `text`, which may be empty, cannot be read, or None."""
    if "\0" in text:
        return f"NUL character in {shown(text)}. Remove it; is the file UTF-16, or damaged?"
    if len(text) > MAX_CELL:
        return (
            f"expected at most {MAX_CELL} characters, the cell has {len(text)}. "
            "Shorten it, or is a quote missing?"
        )
    if _SURROGATE.search(text):
        return f"half a surrogate pair in {shown(text)}, which UTF-8 cannot hold. Remove it"
    return None


def label_range(task: Task) -> str:
    """The valid labels of a task in words: `a whole number from 0 to 4`."""
    if not task.class_names:
        return f"a number from {task.low:g} to {task.high:g}" if task.bounded else "a number"
    if task.numbered:
        return f"a whole number from {task.low:g} to {task.high:g}"
    words = ", ".join(map(shown, task.label_words[:MAX_WORDS]))
    more = len(task.label_words) - MAX_WORDS
    return f"one of {words}" + (f" and {more} more" if more > 0 else "")


def parse_label(task: Task, text: str) -> float:
    """The label in the task's unit: the number of the class, or the score.

    Raises ValueError with what was expected and what came.
    """
    if task.class_names and not task.numbered:
        return _class_of_word(task, text.strip())
    word, expected = text.strip(), label_range(task)
    if not word:
        raise ValueError(f"expected {expected}, the label is missing. Fill it in")
    if _NOT_FINITE.fullmatch(word):
        raise ValueError(
            f"expected {expected}, got {shown(text)}, which is not finite. Give the true label"
        )
    if not _NUMBER.fullmatch(word):
        raise ValueError(
            f"expected {expected}, got {shown(text)}, which is not a number. Write it like "
            f"'{task.high if task.bounded else 2.5:g}'"
        )
    value = float(word) + 0.0  # + 0.0: a negative zero becomes plain zero
    if not math.isfinite(value) or not task.low <= value <= task.high:
        raise ValueError(
            f"expected {expected}, got {shown(text)}, which is out of range. Is it another "
            "task's file?"
        )
    if task.class_names and not value.is_integer():
        raise ValueError(f"expected {expected}, got {shown(text)}. Is it another task's file?")
    return value


def _class_of_word(task: Task, word: str) -> float:
    """The number of the class that a word of the data names.

    Where all words are whole numbers, `2.0` is the word `2`.
    """
    if not word:
        raise ValueError(f"expected {label_range(task)}, the label is missing. Fill it in")
    if word not in task.label_words and _NUMBER.fullmatch(word):
        value = float(word)
        word = str(int(value)) if math.isfinite(value) and value.is_integer() else word
    if word not in task.label_words:
        near = suggestion(word, task.label_words)
        raise ValueError(
            f"expected {label_range(task)}, got {shown(word)}.{near}".removesuffix(".")
        )
    return float(task.label_words.index(word))


def row_problems(task: Task, cells: Mapping[str, str], *, labelled: bool) -> list[tuple[str, str]]:
    """The problems of a row, as (column, message). `cells` maps each needed column to its text.

    Text to be labelled may be empty: a leaderboard expects a line for every id.
    """
    check = sentence_problem if labelled else character_problem
    checks = [("id", id_problem(cells["id"]))]
    checks += [(column, check(cells[column])) for column in task.sentence_columns]
    problems = [(column, message) for column, message in checks if message]
    if labelled:
        try:
            parse_label(task, cells[task.label_column])
        except ValueError as error:
            problems.append((task.label_column, str(error)))
    return problems


def data_error(problems: Sequence[str], advice: str = "", more: int = 0) -> DataError:
    """One DataError for a file: its first 20 problems, the number of others, and the advice.

    `more` others are not among the problems.
    """
    lines = list(problems[:MAX_SHOWN])
    if more := more + len(problems) - len(lines):
        lines.append(f"and {more} more")
    return DataError("\n".join([*lines, advice] if advice else lines))
