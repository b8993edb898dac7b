"""The tasks that this process knows, by name.

Shipped tasks and those in the folder `tasks/` are known by name and read when they are first
needed. A file elsewhere becomes known when a config names its path, and the tasks of a run when its
record is read. No torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from mtl.documents.library import SUFFIXES, is_path
from mtl.errors import ConfigError
from mtl.tasks.definition import LIBRARY, read_task
from mtl.tasks.task import CourseData, Task, TaskName


@cache
def shipped() -> Mapping[TaskName, Task]:
    """The tasks that ship with `mtl`, the course's first, in the course's order."""
    folder = LIBRARY.shipped()
    tasks = [read_task(path) for path in folder.iterdir() if path.suffix in SUFFIXES]
    tasks.sort(key=_place)
    return {task.name: task for task in tasks}


def _place(task: Task) -> tuple[float, TaskName]:
    return task.data.order if isinstance(task.data, CourseData) else math.inf, task.name


class Registry(Mapping[TaskName, Task]):
    """Name -> task. In the order of `shipped`, then by name."""

    def __init__(self) -> None:
        self._known: dict[TaskName, Task] = {}

    def __getitem__(self, name: TaskName) -> Task:
        if name in self._known:
            return self._known[name]
        if name in self._here():
            return self.find(name)
        return shipped()[name]

    def __iter__(self) -> Iterator[TaskName]:
        own = {*self._known, *self._here()} - shipped().keys()
        return iter((*shipped(), *sorted(own)))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in self._known or name in shipped() or name in self._here()

    def find(self, word: str) -> Task:
        """The task of a name or at a path, which becomes known. A file here wins over a shipped.

        Raises ConfigError: for an unknown name with the nearest one, for a file with every problem.
        """
        path = self._here().get(word)
        if path is None and not is_path(word):
            if word not in self:
                raise ConfigError(unknown_task(word))
            return self[word]
        path = path or Path(word)
        try:
            task = read_task(path)
        except ConfigError:
            if word in self._known and self._known[word].data is None:
                return self._known[word]  # that of a record, which needs no file
            raise
        if path.stem != task.name and not is_path(word):
            raise ConfigError(f"{path}: task: expected {path.stem}, as the file, got {task.name}.")
        self._known[task.name] = task
        return task

    def readable(self) -> list[Task]:
        """The known tasks, without those here whose file is wrong."""
        found = []
        for name in self:
            with suppress(ConfigError):
                found.append(self[name])
        return found

    def known(self) -> tuple[Task, ...]:
        """The tasks that a config or a record has named so far, for another process to `learn`."""
        return tuple(self._known.values())

    def know(self, tasks: Iterable[Task]) -> None:
        """Add tasks whose names are not known, or whose file is wrong: those of a record."""
        for task in tasks:
            if self._readable(task.name) is None:
                self._known[task.name] = task

    def learn(self, tasks: Iterable[Task]) -> None:
        """Make these the tasks of their names: those of a run that is to be scored again.

        A known task that computes the same numbers stays, with its data.
        """
        for task in tasks:
            known = self._readable(task.name)
            if known is None or known.identity() != task.identity():
                self._known[task.name] = task

    def _readable(self, name: TaskName) -> Task | None:
        """The task of a name; None for an unknown name, and where its file is wrong."""
        try:
            return self.get(name)
        except ConfigError:
            return None

    def forget(self) -> None:
        """Know only the shipped tasks and those here again."""
        self._known.clear()

    @contextmanager
    def using(self, tasks: Iterable[Task]) -> Iterator[None]:
        """Within the block, these tasks stand for those of their names."""
        before = dict(self._known)
        self._known |= {task.name: task for task in tasks}
        try:
            yield
        finally:
            self._known = before

    def _here(self) -> Mapping[TaskName, Path]:
        """The files of the working folder, by name."""
        return LIBRARY.own_paths()


TASKS = Registry()


def unknown_task(word: str) -> str:
    """The error for a name that no known task has."""
    return LIBRARY.unknown(word, TASKS)


def course_tasks() -> tuple[Task, ...]:
    """The tasks of the course, in its order."""
    return tuple(task for task in shipped().values() if isinstance(task.data, CourseData))


def course_names() -> tuple[TaskName, ...]:
    """The names of the course's tasks: the tasks of a run that names none."""
    return tuple(task.name for task in course_tasks())


def differing(names: Iterable[TaskName]) -> list[Task]:
    """The tasks of these names that no shipped task of the name equals, as far as numbers go."""
    return [
        TASKS[name]
        for name in names
        if name not in shipped() or shipped()[name].identity() != TASKS[name].identity()
    ]
