"""JSON files of a run that hold a digest of their own content: a flipped bit is an error.

The last key, `digest`, is the sha256 of all bytes before it. Files that earlier versions wrote have
none.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtl.errors import RunError
from mtl.files import parse_json, read_regular, write_bytes

DIGEST = "digest"
MAX_BYTES = 1 << 24

_SEAL = re.compile(rb',\n "digest": "([0-9a-f]{64})"\n}\n')
_SEAL_BYTES = len(f',\n "{DIGEST}": "{"0" * 64}"\n}}\n')


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object and its digest atomically. Raises ValueError for NaN and infinities."""
    write_bytes(path, sealed(content))


def sealed(content: Mapping[str, Any]) -> bytes:
    """The bytes of such a file."""
    text = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False)
    body = text.removesuffix("\n}").encode()
    digest = hashlib.sha256(body).hexdigest()
    return body + f',\n "{DIGEST}": "{digest}"\n}}\n'.encode()


def read_sealed(path: Path, remedy: str, *, required: str = "") -> dict[str, Any] | None:
    """The object in a file without its digest, or None without the file.

    A file that has the key `required` must have a digest. Raises RunError with the remedy for a
    file that is damaged or cannot be read.
    """
    try:
        return parse_sealed(read_regular(path, MAX_BYTES), required)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror or error}.") from None
    except ValueError as error:
        raise RunError(f"{path}: damaged: {error}. {remedy}") from None


def parse_sealed(raw: bytes, required: str = "") -> dict[str, Any]:
    """The object in a file's bytes, without its digest. Raises ValueError."""
    content = parse_json(raw)
    if not isinstance(content, dict):
        raise ValueError("expected an object")
    if DIGEST in content:
        seal = _SEAL.fullmatch(raw, len(raw) - _SEAL_BYTES)
        body = raw[:-_SEAL_BYTES]
        if seal is None or seal[1] != hashlib.sha256(body).hexdigest().encode():
            raise ValueError("its content is not that of its digest")
        del content[DIGEST]
    elif required in content:
        raise ValueError("it has no digest")
    return content
