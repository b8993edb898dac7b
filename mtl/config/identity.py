"""The identity of a run: two runs with equal ids compute the same.

cell = sha256(canonical config without seed, with the encoder and the data named by content, + numerics version)[:12];
run_id = <cell>-s<seed>. The same cell met in two grids and a study is one run. Where files lie does not matter: a folder
that is moved or copied keeps its runs.
"""

from __future__ import annotations

import hashlib
import json

from mtl.config.schema import RunConfig

NUMERICS = 3
"""Raised when the same config gives other numbers, so that old and new runs have different ids.

The store of hidden states (`mtl.model.frozen.layers`) is named by it too.
"""


def cell(config: RunConfig, *, data: str, encoder: str) -> str:
    """The 12 hex digits of a run without its seed. `data` and `encoder` are fingerprints."""
    plain = config.canonical() | {"data": data, "encoder": encoder, "numerics": NUMERICS}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def run_id(cell: str, seed: int) -> str:
    """`<cell>-s<seed>`."""
    return f"{cell}-s{seed}"
