"""The recipes of CONTRIBUTING work: each is followed word for word in a copy, then tried."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CODE = ("mtl", "docs", "ablations", "studies", "reports", "tests")

STEP = re.compile(
    r"New\sfile\s`(?P<new>[^`]+)`:\n\n```python\n(?P<text>.*?)```"
    r"|In\s`(?P<file>[^`]+)`,\s(?P<place>before|after)\s`(?P<anchor>[^`]+)`:"
    r"\n\n```python\n(?P<code>.*?)```"
    r"|In\s`(?P<changed>[^`]+)`,\s`(?P<old>[^`]+)`\sbecomes\s`(?P<by>[^`]+)`\.",
    re.S,
)


@dataclass(frozen=True)
class Recipe:
    """A recipe's title, its steps as matches of `STEP`, and the command that tries it."""

    title: str
    steps: tuple[re.Match[str], ...]
    command: str

    @property
    def files(self) -> set[str]:
        return {step["new"] or step["file"] or step["changed"] for step in self.steps}


def recipes() -> Iterator[Recipe]:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8").split("## Recipes")[1]
    for part in text.split("## Rules")[0].split("\n### ")[1:]:
        commands = re.findall(r"```sh\n(mtl .+?)\n```", part)
        if commands:
            yield Recipe(part.splitlines()[0], tuple(STEP.finditer(part)), commands[0])


def follow(recipe: Recipe, root: Path) -> None:
    """Change the files under `root` as the recipe says."""
    for step in recipe.steps:
        if step["new"]:
            (root / step["new"]).write_text(step["text"], "utf-8")
            continue
        path = root / (step["file"] or step["changed"])
        text = path.read_text("utf-8")
        old = step["anchor"] or step["old"]
        assert text.count(old) == 1, f"{recipe.title}: {path.name} has {text.count(old)} of {old!r}"
        if step["old"]:
            new = step["by"]
        elif step["place"] == "before":
            new = step["code"] + ("\n\n" if step["code"].startswith(("class", "def")) else "") + old
        else:
            new = f"{old}\n{step['code'].rstrip()}"
        path.write_text(text.replace(old, new), "utf-8")


RUN = """
import json, shlex, sys
from mtl.cli import main
for line in json.load(sys.stdin):
    words = shlex.split(line)[1:]
    extra = ["--wandb", "disabled", "--quiet"] if words[0] == "train" else []
    main([*words, *extra], standalone_mode=False)
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository in which every recipe was followed."""
    root = tmp_path_factory.mktemp("copy")
    for name in CODE:
        ignore = shutil.ignore_patterns("__pycache__", "*.svg")
        shutil.copytree(ROOT / name, root / name, ignore=ignore)
    for recipe in recipes():
        follow(recipe, root)
    return root


def run(root: Path, *words: str, given: str = "") -> str:
    done = subprocess.run(
        [sys.executable, *words], cwd=root, input=given, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(root), "MTL_CACHE": str(root / "cache"),
                          "OMP_NUM_THREADS": "1"},
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


def test_there_is_a_recipe_for_each_kind_of_addition() -> None:
    titles = {recipe.title for recipe in recipes()}
    assert titles == {"A head", "A schedule", "A surgery", "A toggle", "A section of the report",
                      "A command"}  # fmt: skip


def test_a_new_toggle_or_method_touches_at_most_three_files() -> None:
    for recipe in recipes():
        assert recipe.steps
        assert len(recipe.files) <= 3, recipe.files


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_recipe_works(copy: Path) -> None:
    printed = run(copy, "-c", RUN, given=json.dumps([recipe.command for recipe in recipes()]))
    assert "baseline\nfinal\nconcat" in printed
    records = [json.loads(path.read_text()) for path in copy.glob("runs/*/record.json")]
    assert [record["status"] for record in records] == ["done"] * 4
    configs = [record["config"] for record in records]
    assert {config["heads"].get("quora") for config in configs} >= {"bilinear"}
    assert {config["schedule"] for config in configs} >= {"in_blocks"}
    assert {config["surgery"] for config in configs} >= {"equal_norm"}
    assert [config["smart"]["every"] for config in configs if config["smart"]] == [2]
    assert "\n## Seeds\n" in (copy / "reports" / "quickstart.md").read_text("utf-8")


@pytest.mark.slow
def test_a_new_toggle_reaches_docs_and_reports_and_renames_no_run(copy: Path) -> None:
    run(copy, "docs/generate.py")
    assert "| `smart.every` | `1` |" in (copy / "docs" / "toggles.md").read_text("utf-8")
    run(copy, "-c", (
        "from mtl.config.settings import config_from as config\n"
        "from mtl.methods.toggles import methods_of, typed_config, untold\n"
        "assert 'every' not in config(['smart={}']).canonical()['smart']\n"
        "assert config(['smart.every=2']).canonical()['smart']['every'] == 2\n"
        "assert methods_of(config(['smart.every=2'])) != methods_of(config(['smart={}']))\n"
        "assert untold({'smart.every': 2}) == {'smart.every': 2}\n"
        "assert 'R_s' in config(['smart.every=2', 'smart.lambda_s=0']).idle('smart.every')\n"
    ))  # fmt: skip
