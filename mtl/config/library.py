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
    """Definitions of one kind.

    They lie in `folder` of the working folder, and in the folder `inside` of `package` in the
    wheel. `kind` names them in messages.
    """

    kind: str
    folder: str
    package: str
    inside: str

    def folders(self) -> list[Path]:
        """The folders that exist; a file in an earlier folder wins."""
        shipped = Path(str(resources.files(self.package))) / self.inside
        if not shipped.is_dir():  # a clone of the repository
            shipped = Path(__file__).parents[2] / self.folder
        folders: dict[Path, Path] = {}
        for folder in (Path(self.folder), shipped):
            if folder.is_dir():
                folders.setdefault(folder.resolve(), folder)
        return list(folders.values())

    def paths(self) -> dict[str, Path]:
        """Every definition by name."""
        paths: dict[str, Path] = {}
        for folder in self.folders():
            for path in sorted(folder.iterdir()):
                if path.suffix in SUFFIXES and path.is_file():
                    paths.setdefault(path.stem, path)
        return paths

    def find(self, word: str) -> Path:
        """The file with a name, or at a path. Raises ConfigError with the nearest name."""
        if word.endswith(SUFFIXES) or "/" in word:
            return Path(word)
        paths = self.paths()
        if word not in paths:
            names = ", ".join(sorted(paths)) or "none"
            example = f"{self.folder}/{word if word.isidentifier() else 'mine'}.yaml"
            raise ConfigError(
                f"no {self.kind} {short(word)}; there are {names}.{suggestion(word, paths)} "
                f"Write the path of a file of your own, as in {example}."
            )
        return paths[word]
