"""What `mtl report WORD` is about: a grid, a study or a run among the runs, or the records that an earlier report keeps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mtl.ablation.definition import find_definition
from mtl.config.schema import RunConfig
from mtl.errors import ConfigError, RunError, suggestion
from mtl.report import archive
from mtl.report.archive import Archive
from mtl.report.gather import gather_grid, gather_run
from mtl.report.material import Texts
from mtl.report.publish import Places
from mtl.report.studies import PREFIX, RESULTS, gather_study, studies_among, study_results
from mtl.report.texts import dev_sentences
from mtl.runs.find import find_run, is_run, run_folders, runs_named
from mtl.runs.folder import GRIDS, STUDIES, RunFolder


@dataclass(frozen=True, kw_only=True)
class Source:
    """A report's subject: its name, and the folder of the grid, study or run; None where only records are."""

    name: str
    grid: Path | None = None
    study: Path | None = None
    run: RunFolder | None = None

    def gather(self, *, text: bool | None, before: Archive | None = None) -> Archive:
        """The records as the runs say them now. Raises RunError, also where there are no runs."""
        if self.grid is not None:
            return gather_grid(self.grid, self.grid.parent.parent, text=text, before=before)
        if self.study is not None:
            return gather_study(self.study)
        if self.run is not None:
            return gather_run(self.run, text=text, before=before)
        raise RunError(f"{self.name}: there are no runs to make it from.")

    @property
    def has_runs(self) -> bool:
        """Whether the runs are at hand."""
        return any(place is not None for place in (self.grid, self.study, self.run))


def find_source(word: str | None, runs: Path, output: Path) -> Source:
    """What a word means: a grid, a study, a run, or kept records, in this order. Raises ConfigError.

    Without one it is the grid or study that was at work last.
    """
    if word is None:
        return _latest(runs)
    path = Path(word)
    if (path / archive.FILE).is_file() and path.resolve().parent == output.resolve():
        word, path = path.resolve().name, Path(path.resolve().name)
    if (path / "grid.json").is_file():
        return _grid(path)
    if (path / RESULTS).is_file() and path.resolve().parent.name == STUDIES:
        return _study(path)
    if is_run(path):
        return Source(name=path.resolve().name, run=RunFolder(path))
    name = find_definition(word).name if path.suffix in (".yaml", ".yml") else word
    if Path(name).name != name:
        raise ConfigError(
            f"{word}: expected a grid's, a study's or a run's folder; there is none. A name works too: `mtl report quickstart`."
        )
    if (runs / GRIDS / name / "grid.json").is_file():
        return _grid(runs / GRIDS / name)
    for written in (name, name.removeprefix(PREFIX)):
        if study_results(runs, written).is_file():
            return _study(study_results(runs, written).parent)
    if runs_named(runs, name):
        found = find_run(runs, name)
        return Source(name=found.run_id, run=found)
    for written in (name, f"{PREFIX}{name}"):
        if Places(output=output, name=written).records.is_file():
            return Source(name=written)
    there = [*grids(runs), *studies_among(runs)]
    known = [*there, *kept(output), *(folder.run_id for folder in run_folders(runs))]
    raise ConfigError(
        f"no grid, study or run {name!r} in {runs}, and no records of it in {output}.{suggestion(name, known)} Grids and studies "
        f"there: {', '.join(there) or 'none'}. `mtl ablate --grid` makes a grid, `mtl study optimize` a study."
    )


def grids(runs: Path) -> list[str]:
    """The names of the grids among runs."""
    return sorted(path.parent.name for path in (runs / GRIDS).glob("*/grid.json"))


def kept(output: Path) -> list[str]:
    """The names of the reports whose records an output folder keeps."""
    return sorted(path.parent.name for path in output.glob(f"*/{archive.FILE}"))


def texts_of(records: Archive, source: Source) -> Texts:
    """The sentences that a report may show, where its records allow it: of the very rows that its runs were scored on."""
    if not records["text"]:
        return {}
    folders: Iterable[RunFolder] = ()
    if source.run is not None:
        folders = [source.run]
    elif source.grid is not None:
        folders = [RunFolder(source.grid.parent.parent / run_id) for run_id in records["runs"]]
    configs = [folder.config() for folder in folders if (folder.path / "config.yaml").is_file()]
    if not configs:
        configs = [RunConfig.model_validate(arm["config"]) for arm in records["design"]["arms"]]
        if {config.data for config in configs} != {"sample"}:
            raise ConfigError(
                f"{source.name}: sentences are not kept with its records, and its runs are not at hand. Leave --text out."
            )
    parts = [
        ((run["record"] or {}).get("data") or {}).get("parts", {})
        for run in records["runs"].values()
    ]
    known = {fingerprint for found in parts for fingerprint in found.values()}
    return dev_sentences(configs, known)


def _grid(folder: Path) -> Source:
    folder = folder.resolve()  # its runs lie two folders up, wherever we are
    return Source(name=folder.name, grid=folder)


def _study(folder: Path) -> Source:
    folder = folder.resolve()
    return Source(name=f"{PREFIX}{folder.name}", study=folder)


def _latest(runs: Path) -> Source:
    found = [*(runs / GRIDS).glob("*/grid.json"), *(runs / STUDIES).glob(f"*/{RESULTS}")]
    if not found:
        raise ConfigError(
            f"no grids or studies in {runs}. `mtl ablate --grid` makes one; or name a run: `mtl report RUN`."
        )
    last = max(found, key=lambda path: (path.stat().st_mtime, path.parent.name))
    return _study(last.parent) if last.name == RESULTS else _grid(last.parent)
