"""Finds the subject of `mtl report NAME`: a grid, a study, a run, or kept records."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mtl.ablation.definition import find_definition
from mtl.ablation.grid_files import DESIGN_FILE, keep_look, write_results
from mtl.config.schema import RunConfig
from mtl.data.load import is_built_in
from mtl.errors import ConfigError, RunError, suggestion
from mtl.report import archive
from mtl.report.archive import AnyArchive, Archive, StudyArchive
from mtl.report.data import Sentences
from mtl.report.dev_sentences import dev_sentences
from mtl.report.gather import gather_grid, gather_run
from mtl.report.places import Places
from mtl.report.studies.gather import PREFIX, RESULTS, gather_study, studies_among, study_results
from mtl.runs.find import find_run, is_run, run_folders, runs_named
from mtl.runs.folder import GRIDS, STUDIES, RunFolder


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The subject of a report: its name, and the folder of the grid, study or run.

    There is no folder where only records are at hand.
    """

    name: str
    grid: Path | None = None
    study: Path | None = None
    run: RunFolder | None = None

    def gather(
        self, *, text: bool | None, before: AnyArchive | None = None, write: bool = False
    ) -> AnyArchive:
        """The records that the runs give now. Raises RunError, also where there are no runs.

        `text` is whether the report quotes sentences, None for the built-in data only. `before` are
        earlier records. With `write`, the results of a grid are written beside its runs.
        """
        earlier = before if isinstance(before, Archive) else None
        if self.grid is not None:
            runs = self.grid.parent.parent
            if write:
                keep_look(self.grid, runs)
            records, results = gather_grid(self.grid, runs, text=text, before=earlier)
            if write:
                write_results(results, self.grid)
            return records
        if self.study is not None:
            return gather_study(self.study)
        if self.run is not None:
            return gather_run(self.run, text=text, before=earlier)
        raise RunError(f"{self.name}: its runs are not there, so it cannot be gathered again.")

    @property
    def has_runs(self) -> bool:
        """Whether the runs are at hand."""
        return any(place is not None for place in (self.grid, self.study, self.run))


def find_subject(word: str | None, runs: Path, output: Path) -> Subject:
    """The grid, study, run or kept records that a word names, in this order. Raises ConfigError.

    Without a word it is the grid or study that ran last.
    """
    if word is None:
        return _latest(runs)
    path = Path(word)
    if (path / archive.FILE).is_file() and path.resolve().parent == output.resolve():
        word, path = path.resolve().name, Path(path.resolve().name)
    if (path / DESIGN_FILE).is_file():
        return _grid(path)
    if (path / RESULTS).is_file() and path.resolve().parent.name == STUDIES:
        return _study(path)
    if is_run(path):
        return Subject(name=path.resolve().name, run=RunFolder(path))
    name = find_definition(word).name if path.suffix in (".yaml", ".yml") else word
    if Path(name).name != name:
        raise ConfigError(
            f"{word}: expected the folder of a grid, a study or a run, or a name: `mtl report "
            "quickstart`."
        )
    if (runs / GRIDS / name / DESIGN_FILE).is_file():
        return _grid(runs / GRIDS / name)
    for written in (name, name.removeprefix(PREFIX)):
        if study_results(runs, written).is_file():
            return _study(study_results(runs, written).parent)
    if runs_named(runs, name):
        run = find_run(runs, name)
        return Subject(name=run.run_id, run=run)
    for written in (name, f"{PREFIX}{name}"):
        if Places(output=output, name=written).records.is_file():
            return Subject(name=written)
    there = [*grids(runs), *studies_among(runs)]
    known = [*there, *kept(output), *(folder.run_id for folder in run_folders(runs))]
    raise ConfigError(
        f"no grid, study or run {name!r} in {runs}, and no records of it in "
        f"{output}.{suggestion(name, known)} Grids and studies there: "
        f"{', '.join(there) or 'none'}. `mtl ablate --grid` makes a grid, `mtl study optimize` a "
        "study."
    )


def grids(runs: Path) -> list[str]:
    """The names of the grids among runs."""
    return sorted(path.parent.name for path in (runs / GRIDS).glob(f"*/{DESIGN_FILE}"))


def kept(output: Path) -> list[str]:
    """The names of the reports whose records an output folder keeps."""
    return sorted(path.parent.name for path in output.glob(f"*/{archive.FILE}"))


def quotable_sentences(records: AnyArchive, subject: Subject) -> Sentences:
    """The sentences that a report may quote: of the very rows that its runs were scored on.

    None where its records do not allow it. Raises ConfigError where the data cannot be known.
    """
    if isinstance(records, StudyArchive) or not records.text:
        return {}
    configs = _configs_at_hand(records, subject)
    if not configs:
        configs = [arm.config for arm in records.design.arms]
        if not all(is_built_in(config.data, config.tasks) for config in configs):
            raise ConfigError(
                f"{subject.name}: its records hold no sentences, and its runs are not at hand. "
                "Leave --text out."
            )
    fingerprints = {
        fingerprint
        for run in records.runs.values()
        if run.record is not None
        for fingerprint in run.record.data.parts.values()
    }
    return dev_sentences(configs, fingerprints)


def _configs_at_hand(records: Archive, subject: Subject) -> list[RunConfig]:
    """The configs in the folders of the runs; records know only the end of a data folder."""
    folders: Iterable[RunFolder] = ()
    if subject.run is not None:
        folders = [subject.run]
    elif subject.grid is not None:
        folders = [RunFolder(subject.grid.parent.parent / run_id) for run_id in records.runs]
    return [folder.config() for folder in folders if (folder.path / "config.yaml").is_file()]


def _grid(folder: Path) -> Subject:
    folder = folder.resolve()  # its runs lie two folders up, wherever we are
    return Subject(name=folder.name, grid=folder)


def _study(folder: Path) -> Subject:
    folder = folder.resolve()
    return Subject(name=f"{PREFIX}{folder.name}", study=folder)


def _latest(runs: Path) -> Subject:
    files = [*(runs / GRIDS).glob(f"*/{DESIGN_FILE}"), *(runs / STUDIES).glob(f"*/{RESULTS}")]
    if not files:
        raise ConfigError(
            f"no grids or studies in {runs}. `mtl ablate --grid` makes one. To report a run, name "
            "it: `mtl report RUN`."
        )
    last = max(files, key=lambda path: (path.stat().st_mtime, path.parent.name))
    return _study(last.parent) if last.name == RESULTS else _grid(last.parent)
