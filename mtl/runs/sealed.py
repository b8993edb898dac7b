"""JSON files of a run that hold a digest of their own content: a flipped bit is an error.

The last key, `digest`, is the sha256 of all bytes before it. Files that earlier versions wrote have
none.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtl.errors import RunError
from mtl.files import open_regular, write_bytes

DIGEST = "digest"
MAX_BYTES = 1 << 24
MAX_DEPTH = 40

_SEAL = re.compile(rb',\n "digest": "([0-9a-f]{64})"\n}\n')
_SEAL_BYTES = len(f',\n "{DIGEST}": "{"0" * 64}"\n}}\n')


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object and its digest atomically. Raises ValueError for NaN and infinities."""
    text = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False)
    body = text.removesuffix("\n}").encode()
    digest = hashlib.sha256(body).hexdigest()
    write_bytes(path, body + f',\n "{DIGEST}": "{digest}"\n}}\n'.encode())


def read_sealed(path: Path, remedy: str, *, required: str = "") -> dict[str, Any] | None:
    """The object in a file without its digest, or None without the file.

    A file that has the key `required` must have a digest. Raises RunError with the remedy for a
    file that is damaged or cannot be read.
    """
    try:
        with open_regular(path) as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES} bytes")
        return parse_sealed(raw, required)
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


def parse_json(raw: bytes) -> Any:
    """The value of a JSON text in UTF-8.

    Raises ValueError, also for numbers that are not finite and for nesting deeper than `MAX_DEPTH`.
    """
    from pydantic_core import from_json

    value = from_json(raw, allow_inf_nan=False)
    level = [value]
    for _ in range(MAX_DEPTH):
        # 1e999 is infinite too.
        if any(isinstance(part, float) and not math.isfinite(part) for part in level):
            raise ValueError("a number is not finite")
        level = [child for part in level for child in _children(part)]
        if not level:
            return value
    raise ValueError(f"nested deeper than {MAX_DEPTH} levels")


def _children(value: Any) -> Any:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
