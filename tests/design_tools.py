"""Shared by the tests of designs: definitions written as YAML, plans and refusals."""

from __future__ import annotations

from pathlib import Path

from mtl.ablation.definition import Definition, read_definition
from mtl.ablation.design import Design, expand
from mtl.config import identity
from mtl.config.schema import RunConfig
from mtl.config.settings import config_from


def cell_of(config: RunConfig) -> str:
    return identity.cell(config, data="0123456789abcdef", encoder="fedcba9876543210")


def cell(*words: str) -> str:
    """The cell of the config that `mtl train` makes of the words."""
    return cell_of(config_from(list(words)))


def define(folder: Path, text: str) -> Definition:
    path = folder / "mine.yaml"
    path.write_text(f"question: why?\n{text}", "utf-8")
    return read_definition(path)


def plan(folder: Path, text: str) -> Design:
    return expand(define(folder, text), cell_of)


def names(design: Design) -> list[str]:
    return [arm.name for arm in design.arms]
