"""A coordinator of a study as a process of its own, for tests that kill it.

python -m tests.study_coordinator STUDY RUNS [STORAGE]
"""

from __future__ import annotations

import sys
from pathlib import Path

from mtl.grid.view import View
from mtl.runs.options import PoolOptions
from mtl.study import trials
from mtl.study.definition import read_study
from mtl.study.engine import optimize
from mtl.training.progress import tell
from tests.study_trains import instant

if __name__ == "__main__":
    trials.ORPHAN_SECONDS = 2.0
    done = optimize(
        read_study(Path(sys.argv[1])),
        train=instant,
        options=PoolOptions(
            runs=Path(sys.argv[2]),
            workers=2 if len(sys.argv) == 3 else 1,
            wandb="disabled",
            retry=1000,
        ),
        storage=sys.argv[3] if len(sys.argv) > 3 else None,
        view=View(tell),
    )
    sys.exit(1 if done.failures else 0)
