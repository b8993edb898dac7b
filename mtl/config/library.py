"""Libraries of definitions by name: the folders `ablations/` and `studies/`.

A file in the working folder wins over the one that ships with `mtl`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from mtl.errors import ConfigError, short, suggestion

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, kw_only=True)
class Library:
    """Definitions of one kind: `folder` in the working folder, `package`/`inside` in the wheel."""

    kind: str
    folder: str
    package: str
    inside: str

    def folders(self) -> list[Path]:
        """The folders that exist; a file in an earlier one wins."""
        shipped = Path(str(resources.files(self.package))) / self.inside
        beside = Path(__file__).parents[2] / self.folder  # an editable clone
        found: dict[Path, Path] = {}
        for folder in (Path(self.folder), shipped if shipped.is_dir() else beside):
            if folder.is_dir():
                found.setdefault(folder.resolve(), folder)
        return list(found.values())

    def paths(self) -> dict[str, Path]:
        """Every definition by name."""
        found: dict[str, Path] = {}
        for folder in self.folders():
            for path in sorted(folder.iterdir()):
                if path.suffix in SUFFIXES and path.is_file():
                    found.setdefault(path.stem, path)
        return found

    def find(self, word: str) -> Path:
        """The file of a name or a path. Raises ConfigError with the nearest name."""
        if word.endswith(SUFFIXES) or "/" in word:
            return Path(word)
        found = self.paths()
        if word not in found:
            raise ConfigError(
                f"no {self.kind} {short(word)}; there are {', '.join(sorted(found)) or 'none'}.{suggestion(word, found)} A file of "
                f"your own is named with its path, as in {self.folder}/{word if word.isidentifier() else 'mine'}.yaml."
            )
        return found[word]
