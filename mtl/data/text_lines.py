"""The lines of text files that people name: course files, and text to label.

A file is UTF-8, or begins with a byte-order mark that says what it is. It may have any size, or no
end: lines are read as they are needed, and a line has a limit.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from io import BufferedIOBase

from mtl.errors import DataError

MAX_LINE = 1 << 20
"""Most characters of a line: eight cells of the largest size."""
CHUNK = 1 << 16

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def text_lines(stream: BufferedIOBase, source: str) -> Iterator[str]:
    r"""The lines of a stream, each with its line feed, without a byte-order mark.

    Raises DataError with `source`, line and byte for text in another encoding, and for a line of
    more than `MAX_LINE` characters.

    >>> from io import BytesIO
    >>> list(text_lines(BytesIO("one\ntwo".encode("utf-16")), "file"))
    ['one\n', 'two']
    """
    chunk = _read(stream, source, 4)
    encoding = next((name for mark, name in _MARKS if chunk.startswith(mark)), "utf-8")
    decoder = codecs.getincrementaldecoder(encoding)()
    number, pending, ended = 1, "", False
    while not ended:
        ended = not chunk
        try:
            text = decoder.decode(chunk, final=ended)
        except UnicodeDecodeError as error:
            raise _undecodable(error, source, number, pending) from None
        *whole, rest = text.split("\n")
        if whole:
            whole[0] = pending + whole[0]
            for line in whole:
                _check_length(line, source, number)
                yield f"{line}\n"
                number += 1
            pending = rest
        else:
            pending += rest
        _check_length(pending, source, number)
        if not ended:
            chunk = _read(stream, source, CHUNK)
    if pending:
        yield pending


def _read(stream: BufferedIOBase, source: str, size: int) -> bytes:
    """Up to `size` bytes, without waiting for more than there is. The first 4 are read together."""
    try:
        return stream.read(size) if size < CHUNK else stream.read1(size)
    except OSError as error:
        raise DataError(f"{source}: cannot be read: {error.strerror or error}.") from None


def _check_length(line: str, source: str, number: int) -> None:
    if len(line) > MAX_LINE:
        hint = " Its lines end in a carriage return alone: end them with a line feed."
        raise DataError(
            f"{source}:{number}: expected at most {MAX_LINE} characters in a line, it has more."
            f"{hint if chr(13) in line else ' Is it a text file?'}"
        )


def _undecodable(error: UnicodeDecodeError, source: str, number: int, pending: str) -> DataError:
    """The error for a byte that the encoding does not have. `pending` is the line so far."""
    before = pending + error.object[: error.start].decode(error.encoding)
    number += before.count("\n")
    place = len(before[before.rfind("\n") + 1 :].encode(error.encoding, "replace")) + 1
    kind = "UTF-8" if error.encoding == "utf-8" else error.encoding.upper()
    advice = (
        f"If the file is Latin-1, convert it: iconv -f LATIN1 -t UTF-8 {source} > NEW"
        if kind == "UTF-8"
        else "Is the copy complete?"
    )
    return DataError(
        f"{source}:{number}: expected {kind}, got the byte 0x{error.object[error.start]:02x} at "
        f"byte {place} of the line. {advice}"
    )
