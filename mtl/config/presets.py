"""The paper's three configurations, as differences from the defaults.

Source: Gorti & Thiesmeyer, Stanford CS224N 2023.
"""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "final": {
        "heads": {"sts": "auto"},
        "freeze": {"unfrozen": 3},
        "train": {"lr": 1e-4, "epochs": 9},
    },
}
PRESETS["concat"] = PRESETS["final"] | {"pairing": "concat"}
