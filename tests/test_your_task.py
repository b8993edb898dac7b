"""The page about a task of one's own works: its commands are given word for word."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "your-task.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.S)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_page_leads_from_a_table_to_a_verdict(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    (tmp_path / "new.tsv").write_text("text\nmy parcel is late\n", "utf-8")
    given: list[str] = []
    for kind, text in BLOCKS:
        if kind == "python":
            run("-c", text)
        elif kind == "yaml":
            (tmp_path / "ablations").mkdir()
            (tmp_path / "ablations" / "tickets.yaml").write_text(text, "utf-8")
        for line in text.splitlines() if kind == "sh" else ():
            words = line.partition("#")[0].split()
            if "3f2a-s0" in words:
                names = sorted(path.name for path in (tmp_path / "runs").glob("*-s0"))
                words[words.index("3f2a-s0")] = names[0]
            printed = run("-m", "mtl", *words[1:])
            given.append(words[1])
    assert given == ["tasks", "tasks", "train", "ablate", "ablate", "report", "runs", "predict"]
    assert printed.splitlines()[1].split("\t")[1] in ("billing", "login", "delivery")
    report = (tmp_path / "reports" / "tickets.md").read_text("utf-8")
    assert "## Verdict" in report
    assert "| model | 0 billing | 1 delivery | 2 login |" in report
    assert (tmp_path / "reports" / "tickets.html").is_file()
