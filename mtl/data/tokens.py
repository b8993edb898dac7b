"""Tokenize every distinct sentence once; the token tables are cached on disk and shared by runs.

Tokens are stored without `[CLS]`, `[SEP]` and truncation. So one table serves every pairing and
every `max_length`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mtl.cache import cache_folder
from mtl.data.rows import Rows
from mtl.files import write_bytes
from mtl.tasks.task import Split, TaskName

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CHUNK = 8192
DIGEST_BYTES = 32


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
    path = cache_folder() / "tokens" / f"{_key(tokenizer, sentences)}.tokens"
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


def content(tokenizer: Tokenizer) -> bytes:
    """All that decides which tokens a text has, as canonical bytes.

    Two tokenizers with equal content give equal tokens. How a sequence is completed and decoded is
    not in it, because the pairing does the first and nothing does the second.
    """
    rules = (tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.model)
    added = sorted(tokenizer.get_added_tokens_decoder().items())
    rest = f"{added!r}\0{tokenizer.encode_special_tokens}".encode()
    parts = [b"" if rule is None else rule.__getstate__() for rule in rules]
    return b"\0".join([*parts, rest])


def _key(tokenizer: Tokenizer, sentences: Iterable[str]) -> str:
    digest = hashlib.sha256(b"tokens-2\0" + content(tokenizer))
    for text in sentences:
        raw = text.encode()
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()[:32]


def _read(path: Path, sentences: int) -> TokenTable | None:
    """A cached table, or None where there is none, or where a byte of it has changed."""
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    digest, body = raw[:DIGEST_BYTES], raw[DIGEST_BYTES:]
    start = 8 * (sentences + 1)
    if len(body) < start or hashlib.sha256(body).digest() != digest:
        return None
    return TokenTable(
        ids=np.frombuffer(body, dtype="<i4", offset=start),
        offsets=np.frombuffer(body, dtype="<i8", count=sentences + 1),
    )


def _write(path: Path, table: TokenTable) -> None:
    """Cache a table: a sha256, the offsets, the ids. If that fails, later runs tokenize again."""
    body = table.offsets.astype("<i8").tobytes() + table.ids.astype("<i4").tobytes()
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, hashlib.sha256(body).digest() + body)
