"""Run every benchmark, one after the other: about an hour on two idle cores.

python benchmarks/all.py --data FOLDER
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="sample", help="sample, or a folder of course files")
    options = parser.parse_args()
    data = ["--data", options.data]
    commands = [
        ["throughput.py", *data],
        ["grid.py", "--cells", "12"],
        ["grid.py", *data, "--cells", "12", "--seeds", "2", "--plain", "--some", "6"],
        ["grid.py", *data, "--cells", "1", "--epochs", "3", "--limit", "2000", "--plain"],
        ["scaling.py", *data],
        ["methods.py", *data],
        ["verdicts.py"],
    ]
    failed = False
    for name, *words in commands:
        print(f"\n## {' '.join([name, *words])}\n", flush=True)
        failed |= subprocess.run([sys.executable, str(HERE / name), *words]).returncode != 0
    sys.exit(failed)


if __name__ == "__main__":
    main()
