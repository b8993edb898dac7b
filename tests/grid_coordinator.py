"""A coordinator as a process of its own, for tests that kill it.

python -m tests.grid_coordinator DEFINITION RUNS [instant]
"""

from __future__ import annotations

import sys
from pathlib import Path

from mtl.ablation.definition import read_definition
from mtl.ablation.engine import run_grid
from mtl.grid.view import View
from mtl.runs.options import PoolOptions
from mtl.training.progress import tell
from tests.grid_trains import counted
from tests.study_trains import instant

if __name__ == "__main__":
    done = run_grid(
        read_definition(Path(sys.argv[1])),
        train=instant if "instant" in sys.argv[3:] else counted,
        options=PoolOptions(runs=Path(sys.argv[2]), workers=2, wandb="disabled", retry=1000),
        view=View(tell),
    )
    sys.exit(1 if done.failures else 0)
