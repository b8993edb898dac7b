"""The best of a study as a config of its own."""

from __future__ import annotations

from mtl.config.yaml_file import dump_yaml
from mtl.errors import ConfigError
from mtl.study.definition import Study
from mtl.study.results import StudyResults, TrialResult
from mtl.study.sentences import values_in_words


def best_trial(results: StudyResults, number: int | None = None) -> TrialResult:
    """The trial of that number, or the best. Raises ConfigError where there is none, or several to choose from."""
    if number is not None:
        found = [one for one in results.trials if one.number == number and one.point]
        if not found:
            raise ConfigError(
                f"--trial {number}: no such trial in {results.name}; `mtl study show {results.name}` lists them."
            )
        return found[0]
    if not results.front:
        raise ConfigError(
            f"{results.name}: no trial is done yet. `mtl study optimize {results.name}` goes on with it."
        )
    if results.best is None:
        front = ", ".join(map(str, results.front))
        raise ConfigError(
            f"{results.name} has several objectives and no one best; choose from the front: --trial {front}."
        )
    return results.best


def best_yaml(definition: Study, results: StudyResults, number: int | None = None) -> str:
    """The whole config of the best trial, with what it is and what it scored in the first lines."""
    trial = best_trial(results, number)
    config = (
        definition.make_space()
        .plain(trial.point)
        .resolved()
        .model_dump(mode="json", exclude={"seed"})
    )
    scored = (
        f" {values_in_words(trial, results)} on seeds {list(results.seeds)}" if trial.values else ""
    )
    return f"# Trial {trial.number} of the study {results.name}:{scored}\n{dump_yaml(config)}"
