"""Shared by the tests of definitions: definitions written as YAML, and their refusals."""

from __future__ import annotations

from pathlib import Path

from mtl.ablation.definition import Definition, read_definition


def put(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


WHOLE = """# Does it help?
question: Does it help?
base: final
set: {train.epochs: 2, train: {lr: 2e-5}, tasks: "sst,sts"}
seeds: 2
arms:
  all layers: {freeze.unfrozen: all}
  plain:
grid:
  pairing: [siamese, concat]
  freeze.scope: [all, [sts]]
  rate: {low: {train.warmup: 0}, high: {train.warmup: 0.1}}
design: pairwise
where: ["not (pairing == 'concat' and rate == 'high')", train.lr < 1]
baseline: {pairing: siamese}
margin: 0.02
claims: [{claim: It does, arm: all layers, expect: helps}]
"""


def there_and_back(definition: Definition, folder: Path) -> Definition:
    return read_definition(put(folder, definition.to_yaml(), "back.yaml"))
