"""Flipped bits and leftovers in the caches: the tokens, the built-in encoder, the frozen layers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtl.data.tokens import token_table
from mtl.errors import EncoderError
from mtl.model.find import find_encoder
from mtl.runs.prepare import prepare
from mtl.training.loop import train
from tests.conftest import WORDS
from tests.fault_tools import Tally, flips
from tests.training_tools import config, content

pytestmark = pytest.mark.faults


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("MTL_CACHE", str(tmp_path / "cache"))
    yield tmp_path / "cache"


def test_token_cache(cache: Path, tally: Tally) -> None:
    """Bits flipped in the token cache: the right tokens."""
    tokenizer = find_encoder("random-tiny").tokenizer()
    draw = random.Random(0)
    sentences = [" ".join(draw.choices(WORDS, k=6)) for _ in range(200)]
    right = token_table(tokenizer, sentences)
    (path,) = (cache / "tokens").iterdir()
    for damaged, where in flips([path], 300):
        table = token_table(tokenizer, sentences)
        same = np.array_equal(table.ids, right.ids) and np.array_equal(table.offsets, right.offsets)
        tally.add(same and damaged.read_bytes() != b"", where)
    for size in (0, 7, 32, 40, path.stat().st_size - 1):
        whole = path.read_bytes()
        path.write_bytes(whole[:size])
        table = token_table(tokenizer, sentences)
        tally.add(np.array_equal(table.ids, right.ids), f"cut to {size} bytes")


def test_built_in_encoder(cache: Path, tally: Tally) -> None:
    """Bits flipped in the cached random-tiny: the same encoder, or refused."""
    name = find_encoder("random-tiny").fingerprint
    folder = next((cache / "encoders").iterdir())
    for _, where in flips(sorted(folder.iterdir()), 200):
        try:
            held = find_encoder("random-tiny").fingerprint == name
        except EncoderError:
            held = True
        tally.add(held, where)


def test_frozen_store(cache: Path, tiny: dict[str, Any], tmp_path: Path, tally: Tally) -> None:
    """Bits flipped in the stored outputs of frozen layers: the same run, bit for bit."""
    chosen = config(tiny, freeze__unfrozen=1, train__epochs=1)
    right = train(chosen, runs=tmp_path / "right")
    whole = content(tmp_path / "right" / right.run_id)
    stored = [path for path in cache.rglob("*") if path.is_file() and "frozen" in str(path)]
    assert stored
    for number, (_, where) in enumerate(flips(stored, 60)):
        runs = tmp_path / str(number)
        record = train(chosen, runs=runs)
        tally.add(content(runs / record.run_id) == whole, where)


def test_a_run_names_its_encoder_by_content(cache: Path, tiny_data: Path, tally: Tally) -> None:
    """Bits flipped in an encoder's folder: another run, refused, or harmless."""
    import shutil

    from mtl.config.settings import config_from

    folder = cache / "mine"
    shutil.copytree(find_encoder("random-tiny").folder, folder)
    words = [f"encoder={folder}", f"data={tiny_data}", "train.max_steps=1"]
    chosen = config_from(words)
    before = prepare(chosen)
    tokens = before.train["sst"].table.ids
    weights = before.pretrained.load().state_dict()
    for _, where in flips(sorted(folder.iterdir()), 200):
        try:
            prepared = prepare(chosen)
        except EncoderError:
            tally.add(True, where)
            continue
        if prepared.cell != before.cell:
            tally.add(True, where)
            continue
        same_tokens = np.array_equal(prepared.train["sst"].table.ids, tokens)
        now = prepared.pretrained.load().state_dict()
        tally.add(same_tokens and all(now[key].equal(weights[key]) for key in weights), where)
