"""The best trial of a study as a config."""

from __future__ import annotations

from mtl.documents.yaml_file import dump_yaml
from mtl.errors import ConfigError
from mtl.study.definition import Study
from mtl.study.results import StudyResults, TrialResult
from mtl.study.sentences import values_in_words


def best_trial(results: StudyResults, number: int | None = None) -> TrialResult:
    """The trial of that number, or the best. Raises ConfigError for none, or for several best."""
    if number is not None:
        matches = [trial for trial in results.trials if trial.number == number and trial.point]
        if not matches:
            raise ConfigError(
                f"--trial {number}: no such trial in {results.name}. "
                f"`mtl study show {results.name}` lists them."
            )
        return matches[0]
    if not results.front:
        raise ConfigError(
            f"{results.name}: no trial is done yet. `mtl study optimize {results.name}` resumes it."
        )
    if results.best is None:
        front = ", ".join(map(str, results.front))
        raise ConfigError(
            f"{results.name} has several objectives, so no single best. Choose --trial {front}."
        )
    return results.best


def best_yaml(definition: Study, results: StudyResults, number: int | None = None) -> str:
    """The whole config of the best trial as YAML. A comment names the trial and its score."""
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
