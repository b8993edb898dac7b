"""Reads a study from YAML: every problem at once, each with file, line and key, before anything trains."""

from __future__ import annotations

from typing import Any

from mtl.ablation.reading import MAX_QUESTION
from mtl.config.assignments import MAX_SEEDS, whole
from mtl.config.key_kinds import config_keys
from mtl.config.keys import Settings, flatten, merge
from mtl.config.schema import PRESETS
from mtl.config.settings import preset_layer
from mtl.errors import ConfigError, short, suggestion
from mtl.study.objectives import Objective, known_objectives
from mtl.study.parameters import SpaceReader, number
from mtl.study.space import Parameter
from mtl.study.strategy import DEFAULT_SAMPLER, PRUNERS, SAMPLERS, default_pruner, strategy_problems

KEYS = (
    "name",
    "question",
    "base",
    "set",
    "space",
    "objective",
    "sampler",
    "pruner",
    "seeds",
    "fresh",
    "budget",
    "first",
)
DEFAULT_TRIALS = 40
DEFAULT_FRESH = 3
MAX_TRIALS = 100_000


class StudyReader(SpaceReader):
    """Reads one study and collects what is wrong with it."""

    def fields(self, name: str) -> dict[str, Any]:
        """What a `Study` is made of, but for `written`. Raises ConfigError with all problems, one a line."""
        for key in self.document.value:
            if key not in KEYS:
                hint = (
                    " Settings go under `set`." if key in config_keys() else suggestion(key, KEYS)
                )
                self.fail(f"unknown key.{hint} Keys here: {', '.join(KEYS)}.", key)
        base, under = self.base()
        settings = merge(under, self.settings(self.get("set"), "set"))
        space = self.space()
        objectives = self.objectives()
        sampler = self.word("sampler", DEFAULT_SAMPLER, SAMPLERS)
        pruner = self.word("pruner", default_pruner(objectives), PRUNERS)
        trials, hours = self.budget()
        found = {
            "name": self.name(name),
            "question": self.text("question", MAX_QUESTION),
            "base": base,
            "settings": settings,
            "space": tuple(space),
            "objectives": objectives,
            "sampler": sampler,
            "pruner": pruner,
            "seeds": self.seeds(),
            "fresh": self.fresh(),
            "trials": trials,
            "hours": hours,
            "first": self.first(),
            "source": self.document.source,
            "lines": self.document.lines,
        }
        if not self.problems:
            below = merge(preset_layer(base).value, settings)
            self.pointless(space, below)
            self.scored(space, objectives, below)
            for key, message in strategy_problems(
                space, objectives, sampler, pruner, below, self.document.value
            ):
                self.fail(message, key)
        if self.problems:
            raise ConfigError("\n".join(dict.fromkeys(self.problems)))
        return found

    def objectives(self) -> tuple[Objective, ...]:
        """One objective or several, each with its direction."""
        known = known_objectives()
        value = self.document.value.get("objective", "dev/overall")
        listed = [value] if isinstance(value, str) else value
        directions = value if isinstance(value, dict) else {}
        if (
            not isinstance(listed, list | dict)
            or not listed
            or not all(isinstance(key, str) for key in listed)
        ):
            self.fail(
                f"expected a metric or a list of metrics, as in dev/overall, came {short(value)}.",
                "objective",
            )
            return ()
        found = []
        for key in listed:
            if key not in known:
                self.fail(
                    f"no objective {short(key)}; there are {', '.join(known)}.{suggestion(key, known)}",
                    "objective",
                )
            elif directions and directions[key] not in ("maximize", "minimize"):
                self.fail(
                    f"{key}: expected maximize or minimize, came {short(directions[key])}.",
                    "objective",
                )
            else:
                found.append(Objective(key=key, direction=directions.get(key, known[key])))
        if len({one.key for one in found}) != len(found):
            self.fail("a metric is named twice; keep one.", "objective")
        return tuple(found)

    def word(self, key: str, default: str, known: tuple[str, ...]) -> str:
        """One of some words."""
        found = self.document.value.get(key, default)
        if found not in known:
            self.fail(
                f"expected one of {', '.join(known)}, came {short(found)}.{suggestion(found, known)}",
                key,
            )
            return default
        return str(found)

    def seeds(self) -> tuple[int, ...]:
        return super().seeds() if "seeds" in self.document.value else (0,)

    def fresh(self) -> int:
        """How many further seeds the best is run on."""
        value = self.document.value.get("fresh", DEFAULT_FRESH)
        if not whole(value, 0, MAX_SEEDS):
            self.fail(
                f"expected how many further seeds the best is run on, 0 or more, came {short(value)}.",
                "fresh",
            )
            return DEFAULT_FRESH
        return int(value)

    def budget(self) -> tuple[int | None, float | None]:
        """Trials and hours in all."""
        value = self.document.value.get("budget", {"trials": DEFAULT_TRIALS})
        if not isinstance(value, dict) or not value or not set(value) <= {"trials", "hours"}:
            self.fail(
                f"expected {{trials: 40}}, {{hours: 2}} or both, came {short(value)}.", "budget"
            )
            return None, None
        trials, hours = value.get("trials"), value.get("hours")
        if trials is not None and not whole(trials, 1, MAX_TRIALS):
            self.fail(f"trials: expected a whole number from 1, came {short(trials)}.", "budget")
        if hours is not None and not (number(hours, "float") and hours > 0):
            self.fail(f"hours: expected a number above 0, came {short(hours)}.", "budget")
        return trials, hours

    def first(self) -> tuple[str | Settings, ...]:
        """The trials before any that is sought."""
        value = self.document.value.get("first", [])
        if not isinstance(value, list):
            self.fail(
                f"expected a list of presets ({', '.join(PRESETS)}) and settings, came {short(value)}.",
                "first",
            )
            return ()
        found: list[str | Settings] = []
        for entry in value:
            if isinstance(entry, str) and entry not in PRESETS:
                self.fail(
                    f"no preset {short(entry)}; there are {', '.join(PRESETS)}.{suggestion(entry, PRESETS)}",
                    "first",
                )
            elif isinstance(entry, str):
                found.append(entry)
            else:
                found.append(self.settings(entry, "first"))
        return tuple(found)

    def scored(
        self, space: list[Parameter], objectives: tuple[Objective, ...], below: Settings
    ) -> None:
        """Every trial must have every objective, and it must mean the same."""
        tasks = [below.get("tasks")] if below.get("tasks") else []
        for one in space:
            varied = [
                found["tasks"]
                for level in one.levels.values()
                if "tasks" in (found := flatten(level))
            ]
            if varied and any(objective.key == "dev/overall" for objective in objectives):
                self.fail(
                    "tasks vary, so dev/overall is not the same mean in all trials; name a task's metric.",
                    "objective",
                )
            tasks += varied
        for objective in objectives:
            task = objective.task()
            if task is not None and any(task not in chosen for chosen in tasks if chosen):
                self.fail(f"{objective.key}: not every trial trains {task}.", "objective")
