"""Encoder folders that lack a part: what works without it works, the rest says the way out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from mtl.errors import ConfigError, EncoderError, RunError
from mtl.inference.trained import load_trained
from mtl.model.find import find_encoder
from mtl.model.random_tiny import write_random
from mtl.runs.folder import RunFolder
from mtl.training.loop import train
from tests.training_tools import config


def folder(path: Path, **sizes: Any) -> Path:
    write_random(path, seed=0, **sizes)
    return path


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_an_encoder_without_a_pooler_trains_where_none_is_used(
    tiny: dict[str, Any], tmp_path: Path, pooling: str
) -> None:
    encoder = folder(tmp_path / "encoder")
    weights = load_file(encoder / "model.safetensors")
    short = tiny | {"encoder": str(encoder), "pooling": pooling}
    whole = train(config(short, train__max_steps=2), runs=tmp_path / "whole")
    kept = {f"bert.{key}": value for key, value in weights.items() if "pooler" not in key}
    save_file(kept, encoder / "model.safetensors")
    without = train(config(short, train__max_steps=2), runs=tmp_path / "without")
    assert without.metrics == whole.metrics
    assert without.encoder is not None and without.encoder.drawn == []


def test_one_token_type_cannot_join_pairs(tiny: dict[str, Any], tmp_path: Path) -> None:
    encoder = folder(tmp_path / "encoder", type_vocab_size=1)
    chosen = config(tiny | {"encoder": str(encoder)}, train__max_steps=1)
    assert train(chosen, runs=tmp_path / "runs").status == "done"
    with pytest.raises(ConfigError, match=r"one token type.*Use pairing=siamese"):
        train(chosen.model_copy(update={"pairing": "concat"}), runs=tmp_path / "runs")


def test_a_cache_that_cannot_be_written_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MTL_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(EncoderError, match="Set MTL_CACHE to a folder"):
        find_encoder("random-tiny")


def test_a_run_refuses_an_encoder_whose_tokens_have_changed(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    encoder = folder(tmp_path / "encoder")
    record = train(config(tiny | {"encoder": str(encoder)}, train__max_steps=1), runs=tmp_path)
    run = RunFolder(tmp_path / record.run_id)
    load_trained(run)
    settings = {"do_lower_case": False}
    (encoder / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(RunError, match="is not the one that the run was trained from"):
        load_trained(run)


def test_a_byte_order_mark_in_a_settings_file_is_read(tmp_path: Path) -> None:
    encoder = folder(tmp_path / "encoder")
    before = find_encoder(str(encoder)).fingerprint
    for name in ("config.json", "tokenizer_config.json"):
        text = (encoder / name).read_text("utf-8")
        (encoder / name).write_text(text, "utf-8-sig")
    assert find_encoder(str(encoder)).fingerprint == before
