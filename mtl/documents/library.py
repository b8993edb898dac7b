"""Libraries of definitions by name: the folders `ablations/` and `studies/`.

A file in the working folder wins over the one that ships with `mtl`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from mtl.errors import ConfigError, short, suggestion

SUFFIXES = (".yaml", ".yml")


def is_path(word: str) -> bool:
    """Whether a word is the path of a definition, not a name.

    >>> is_path("sst"), is_path("sst.yaml"), is_path("mine/sst")
    (False, True, True)
    """
    return word.endswith(SUFFIXES) or "/" in word


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

    def shipped(self) -> Path:
        """The folder of the definitions that ship with `mtl`."""
        inside = Path(str(resources.files(self.package))) / self.inside
        # Else a clone of the repository.
        return inside if inside.is_dir() else Path(__file__).parents[2] / self.folder

    def own_paths(self) -> dict[str, Path]:
        """The definitions in the working folder, by name."""
        return _paths(Path(self.folder))

    def paths(self) -> dict[str, Path]:
        """Every definition by name; one in the working folder wins."""
        return _paths(self.shipped()) | self.own_paths()

    def find(self, word: str) -> Path:
        """The file with a name, or at a path. Raises ConfigError with the nearest name."""
        if is_path(word):
            return Path(word)
        paths = self.paths()
        if word not in paths:
            raise ConfigError(self.unknown(word, paths))
        return paths[word]

    def unknown(self, word: str, names: Iterable[str]) -> str:
        """The error for a name that is not among `names`."""
        known = sorted(names)
        example = f"{self.folder}/{word if word.isidentifier() else 'mine'}.yaml"
        return (
            f"no {self.kind} {short(word)}; there are {', '.join(known) or 'none'}."
            f"{suggestion(word, known)} Write the path of a file of your own, as in {example}."
        )


def _paths(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    files = [path for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES]
    return {path.stem: path for path in reversed(files) if path.is_file()}
