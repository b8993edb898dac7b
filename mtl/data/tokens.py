"""Tokenize every distinct sentence once; the token tables are cached on disk and shared by runs.

Tokens are stored without `[CLS]`, `[SEP]` and truncation. So one table serves every pairing and
every `max_length`.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mtl.cache import cache_folder
from mtl.data.rows import Rows
from mtl.tasks.task import Split, TaskName

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CHUNK = 8192


@dataclass(frozen=True, kw_only=True)
class TokenTable:
    """The tokens of N sentences: sentence i is `ids[offsets[i] : offsets[i + 1]]`.

    `ids` is int32 of shape (tokens,), `offsets` int64 of shape (N + 1,).
    """

    ids: np.ndarray
    offsets: np.ndarray

    def sentence(self, index: int) -> np.ndarray:
        """The token ids of one sentence, shape (l,)."""
        return self.ids[self.offsets[index] : self.offsets[index + 1]]


@dataclass(frozen=True, kw_only=True)
class TokenizedRows:
    """Rows with the places of their sentences in a table: int64 indexes of shape (rows,)."""

    rows: Rows
    table: TokenTable
    first: np.ndarray
    second: np.ndarray | None

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: np.ndarray) -> TokenizedRows:
        """The rows at `index`, with the same table."""
        second = None if self.second is None else self.second[index]
        return TokenizedRows(
            rows=self.rows.take(index), table=self.table, first=self.first[index], second=second
        )


def tokenize_rows(
    tokenizer: Tokenizer, rows: Mapping[tuple[TaskName, Split], Rows]
) -> dict[tuple[TaskName, Split], TokenizedRows]:
    """All rows, with one table of their distinct sentences."""
    numbers: dict[str, int] = {}
    columns: dict[tuple[TaskName, Split], list[np.ndarray | None]] = {}
    for key, part in rows.items():
        columns[key] = [
            None
            if texts is None
            else np.array([numbers.setdefault(t, len(numbers)) for t in texts], dtype=np.int64)
            for texts in (part.first, part.second)
        ]
    table = token_table(tokenizer, list(numbers))
    result = {}
    for key, (first, second) in columns.items():
        assert first is not None
        result[key] = TokenizedRows(rows=rows[key], table=table, first=first, second=second)
    return result


def token_table(tokenizer: Tokenizer, sentences: list[str]) -> TokenTable:
    """The table of `sentences`: from the cache if it has these sentences and this tokenizer."""
    path = cache_folder() / "tokens" / f"{_key(tokenizer, sentences)}.npz"
    table = _read(path, len(sentences))
    if table is None:
        pieces: list[np.ndarray] = []
        for start in range(0, len(sentences), CHUNK):
            batch = tokenizer.encode_batch(
                sentences[start : start + CHUNK], add_special_tokens=False
            )
            pieces += [np.array(encoding.ids, dtype=np.int32) for encoding in batch]
        offsets = np.zeros(len(pieces) + 1, dtype=np.int64)
        np.cumsum([len(piece) for piece in pieces], out=offsets[1:])
        ids = np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int32)
        table = TokenTable(ids=ids, offsets=offsets)
        _write(path, table)
    return table


def _key(tokenizer: Tokenizer, sentences: Iterable[str]) -> str:
    digest = hashlib.sha256(b"tokens-1\0" + tokenizer.to_str().encode())
    for text in sentences:
        raw = text.encode()
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()[:32]


def _read(path: Path, sentences: int) -> TokenTable | None:
    try:
        with np.load(path) as stored:  # the zip checksums detect a damaged file
            table = TokenTable(ids=stored["ids"], offsets=stored["offsets"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    return table if len(table.offsets) == sentences + 1 else None


def _write(path: Path, table: TokenTable) -> None:
    """Cache a table. If the cache cannot be written, later runs tokenize again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
            np.savez(file, ids=table.ids, offsets=table.offsets)
        os.replace(file.name, path)
    except OSError:
        pass
