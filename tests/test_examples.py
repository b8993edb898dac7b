"""The examples in docstrings run and print what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import mtl
import mtl.stats
import mtl.tasks

MODULES = [
    "mtl.errors",
    "mtl.rng",
    "mtl.methods.dominant",
    "mtl.methods.pcgrad",
    "mtl.ablation.margins",
    "mtl.model.losses",
    "mtl.model.packing",
    "mtl.model.pairing",
    "mtl.runs.examples",
    "mtl.runs.halves",
    "mtl.training.optim",
] + [
    f"{package.__name__}.{module.name}"
    for package in (mtl.stats, mtl.tasks)
    for module in pkgutil.iter_modules(package.__path__)
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_docstrings_print_what_they_say(name: str) -> None:
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0


def test_the_public_statistics_have_examples() -> None:
    for name in ("contrast", "decision", "effects", "examples", "judging", "planning", "spending"):
        module = importlib.import_module(f"mtl.stats.{name}")
        assert any(test.examples for test in doctest.DocTestFinder().find(module)), name
