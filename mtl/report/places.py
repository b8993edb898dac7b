"""The files of one report, and which of those that stand there are its own.

`NAME/files.json` names the files that `mtl report` wrote. Only these are replaced or removed. A
report of an earlier version has no such file: where its records stand, it is replaced, and figures
that it drew are removed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from mtl.errors import ConfigError, RunError
from mtl.files import parse_json, read_regular, write_json
from mtl.report import archive
from mtl.report.render.figures import digest_in

MANIFEST = "files.json"
MAX_BYTES = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Places:
    """The files of one report below an output folder."""

    output: Path
    name: str

    @property
    def markdown(self) -> Path:
        return self.output / f"{self.name}.md"

    @property
    def html(self) -> Path:
        return self.output / f"{self.name}.html"

    @property
    def folder(self) -> Path:
        return self.output / self.name

    @property
    def records(self) -> Path:
        return self.folder / archive.FILE

    @property
    def figures(self) -> Path:
        return self.folder / "figures"

    @property
    def tables(self) -> Path:
        return self.folder / "tables"

    @property
    def manifest(self) -> Path:
        return self.folder / MANIFEST

    def own_files(self) -> set[Path]:
        """The files that an earlier call wrote and that are still there."""
        named = self._named()
        if named is not None:
            return {path for path in named if _is_plain(path)}
        if not self.earlier():
            return set()
        figures = {path for path in self.figures.glob("*.svg") if _is_drawn(path)}
        single = (self.markdown, self.html, self.records)
        return figures | {path for path in single if _is_plain(path)}

    def earlier(self) -> bool:
        """Whether an earlier version, which named no files, wrote this report."""
        if self._named() is not None or not _is_plain(self.records):
            return False
        try:
            return "schema" in archive.read_json(self.records)
        except RunError:
            return False

    def check(self, targets: Collection[Path]) -> None:
        """Raise ConfigError, with all names, where something else stands in a target's place."""
        own = self.own_files()
        if self.earlier():
            own |= {path for path in targets if path.parent == self.tables and _is_plain(path)}
        strange = [path for path in targets if _is_there(path) and path not in own]
        strange += [
            path
            for path in (self.folder, self.figures, self.tables)
            if path.is_symlink() or (path.exists() and not path.is_dir())
        ]
        if _is_there(self.manifest) and self._named() is None:
            strange.append(self.manifest)
        if strange:
            raise ConfigError(
                f"{', '.join(sorted(map(str, strange)))}: not written by `mtl report`, so nothing "
                "is replaced. Move it away, or name another folder with --output."
            )

    def name_own(self, files: Iterable[Path]) -> None:
        """Write the names of the report's files."""
        names = sorted(path.relative_to(self.output).as_posix() for path in files)
        write_json(self.manifest, {"schema": 1, "files": names})

    def _named(self) -> set[Path] | None:
        """The files of the manifest; None without one. A name that leads elsewhere is not ours."""
        try:
            stored = parse_json(read_regular(self.manifest, MAX_BYTES))
            paths = {self.output / name for name in stored["files"]}
        except (OSError, ValueError, KeyError, TypeError):
            return None
        single = (self.markdown, self.html, self.records)
        below = (self.figures, self.tables)
        return {path for path in paths if path in single or path.parent in below}


def _is_there(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _is_drawn(path: Path) -> bool:
    """Whether `mtl report` drew a figure."""
    return _is_plain(path) and digest_in(path.read_bytes()) is not None


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
