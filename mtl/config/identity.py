"""The identity of a run: two runs with equal ids compute the same.

    cell   = sha256(canonical config without seed + encoder + data + numerics version)[:12]
    run_id = <cell>-s<seed>

The encoder and the data are named by their content, not their path: a folder that is moved or
copied keeps its runs. Grids and studies that contain the same cell share its runs.
"""

from __future__ import annotations

import hashlib
import json

from mtl.config.schema import RunConfig

NUMERICS = 3
"""Increased when a change of the code changes a config's numbers, and with them its run ids.

The name of a store of hidden states (`mtl.model.frozen.layers`) contains it too.
"""


def cell(config: RunConfig, *, data: str, encoder: str) -> str:
    """The 12 hex digits that name what a run computes, without its seed.

    `data` and `encoder` are fingerprints of their content.
    """
    plain = config.canonical() | {"data": data, "encoder": encoder, "numerics": NUMERICS}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def run_id(cell: str, seed: int) -> str:
    """The id of a run.

    >>> run_id("0123456789ab", 3)
    '0123456789ab-s3'
    """
    return f"{cell}-s{seed}"
