"""Hostile encoder folders: one EncoderError, exit code 2, soon and without much memory."""

from __future__ import annotations

import json
import os
import resource
import shutil
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from mtl.cli import main
from mtl.model.random_tiny import write_random
from tests.fault_tools import Tally

pytestmark = pytest.mark.faults
SECONDS = 15

Damage = Callable[[Path], Any]


def settings(**changes: Any) -> Damage:
    def damage(folder: Path) -> None:
        path = folder / "config.json"
        stored = json.loads(path.read_text()) | changes
        path.write_text(json.dumps({k: v for k, v in stored.items() if v != "absent"}))

    return damage


def text(name: str, content: bytes) -> Damage:
    return lambda folder: (folder / name).write_bytes(content)


def tensors(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Damage:
    def damage(folder: Path) -> None:
        path = folder / "model.safetensors"
        save_file(change(load_file(path)), path)

    return damage


def replaced(name: str, by: Callable[[Path], Any]) -> Damage:
    def damage(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        by(folder / name)

    return damage


def json_tokenizer(change: Callable[[dict[str, Any]], Any], **rules: Any) -> Damage:
    """A `tokenizer.json` of the general class, changed."""

    def damage(folder: Path) -> None:
        from tokenizers import BertWordPieceTokenizer

        path = folder / "tokenizer.json"
        BertWordPieceTokenizer(str(folder / "vocab.txt"), **rules).save(str(path))
        stored = json.loads(path.read_text())
        changed = change(stored)
        path.write_text(json.dumps(stored if changed is None else changed))
        (folder / "tokenizer_config.json").write_text(
            '{"tokenizer_class": "PreTrainedTokenizerFast"}'
        )

    return damage


def header(length: int, content: bytes = b"{}") -> bytes:
    return struct.pack("<Q", length) + content


SIZES = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
    "intermediate_size", "max_position_embeddings", "type_vocab_size",
)  # fmt: skip
KIND = "embeddings.LayerNorm.weight"
GROWS = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 1000}
DAMAGES: dict[str, Damage] = {
    **{f"{key}={value}": settings(**{key: value}) for key in SIZES
       for value in (-1, 0, 10**9, 3.5, "12", None, "absent")},
    "layer_norm_eps=NaN": text("config.json", b'{"layer_norm_eps": NaN}'),
    "layer_norm_eps=-1": settings(layer_norm_eps=-1),
    "heads do not divide": settings(num_attention_heads=5),
    "more layers than tensors": settings(num_hidden_layers=3),
    "wider than tensors": settings(hidden_size=64),
    "another model": settings(model_type="gpt2"),
    "another activation": settings(hidden_act="relu"),
    "relative positions": settings(position_embedding_type="relative_key"),
    "config: empty": text("config.json", b""),
    "config: an array": text("config.json", b"[]"),
    "config: not UTF-8": text("config.json", b"\xff\xfe{}"),
    "config: nested": text("config.json", b"[" * 10**6),
    "config: huge number": text("config.json", b'{"vocab_size": ' + b"9" * 10**6 + b"}"),
    "config: a folder": replaced("config.json", Path.mkdir),
    "config: endless": replaced("config.json", lambda path: path.symlink_to("/dev/zero")),
    "config: a pipe": replaced("config.json", os.mkfifo),
    "config: a loop": replaced("config.json", lambda path: path.symlink_to(path)),
    "weights: empty": text("model.safetensors", b""),
    "weights: a pointer": text("model.safetensors", b"version https://git-lfs.github.com/spec/v1\n"),
    "weights: a page": text("model.safetensors", b"<html>404</html>"),
    "weights: cut": lambda folder: os.truncate(folder / "model.safetensors", 5000),
    "weights: huge header": text("model.safetensors", header(2**62)),
    "weights: header an array": text("model.safetensors", header(2, b"[]")),
    "weights: a folder": replaced("model.safetensors", Path.mkdir),
    "weights: endless": replaced("model.safetensors", lambda path: path.symlink_to("/dev/zero")),
    "weights: a pipe": replaced("model.safetensors", os.mkfifo),
    "weights: absent": lambda folder: (folder / "model.safetensors").unlink(),
    "weights: one tensor gone": tensors(lambda t: {k: v for k, v in t.items() if k != KIND}),
    "weights: whole numbers": tensors(lambda t: t | {KIND: torch.ones(32, dtype=torch.int32)}),
    "weights: half a pooler": tensors(
        lambda t: {k: v for k, v in t.items() if k != "pooler.dense.bias"}),
    "weights: NaN": tensors(lambda t: t | {KIND: torch.full((32,), torch.nan)}),
    "weights: infinity": tensors(lambda t: t | {KIND: torch.full((32,), torch.inf)}),
    "weights: another shape": tensors(lambda t: t | {KIND: torch.ones(31)}),
    "weights: prefix": tensors(lambda t: {f"module.{k}": v for k, v in t.items()}),
    "weights: with and without bert.": tensors(lambda t: t | {f"bert.{KIND}": torch.ones(32)}),
    "words: absent": lambda folder: (folder / "vocab.txt").unlink(),
    "words: empty": text("vocab.txt", b""),
    "words: not UTF-8": text("vocab.txt", b"[PAD]\n\xff\n"),
    "words: no [CLS]": text("vocab.txt", b"[PAD]\n[UNK]\n[SEP]\na\n"),
    "words: more than weights": lambda folder: (folder / "vocab.txt").open("a").write(
        "".join(f"w{number}\n" for number in range(1000))),
    "words: endless": replaced("vocab.txt", lambda path: path.symlink_to("/dev/zero")),
    "words: a folder": replaced("vocab.txt", Path.mkdir),
    "words: 70 MiB": text("vocab.txt", b"a" * (70 * 2**20)),
    "tokenizer: an array": text("tokenizer.json", b"[]"),
    "tokenizer: nested": text("tokenizer.json", b"[" * 10**6),
    "tokenizer: empty": text("tokenizer.json", b""),
    "tokenizer: no word pieces": json_tokenizer(
        lambda t: t["model"].update(type="WordLevel", unk_token="[UNK]")),
    "tokenizer: grows": json_tokenizer(lambda t: t.update(normalizer=GROWS)),
    "tokenizer: grows in steps": json_tokenizer(
        lambda t: t.update(normalizer={"type": "Sequence", "normalizers": [GROWS] * 5})),
    "tokenizer: unknown rule": json_tokenizer(lambda t: t.update(normalizer={"type": "Mine"})),
    "tokenizer: drops merges": json_tokenizer(lambda t: t.update(
        model={"type": "BPE", "vocab": {"a": 0}, "merges": [], "dropout": 0.5})),
    "tokenizer: no unknown word": json_tokenizer(lambda t: t["model"].update(unk_token="<none>")),
    "tokenizer: no special tokens": json_tokenizer(lambda t: t.update(post_processor=None)),
    "tokenizer: no model": json_tokenizer(lambda t: {"version": "1.0"}),
    "settings: an array": text("tokenizer_config.json", b"[]"),
    "settings: not JSON": text("tokenizer_config.json", b"{do_lower_case}"),
    "settings: own code": text("tokenizer_config.json", b'{"auto_map": {}}'),
    "settings: another class": text("tokenizer_config.json", b'{"tokenizer_class": "T5"}'),
    "settings: class a number": text("tokenizer_config.json", b'{"tokenizer_class": 5}'),
    "settings: wrong type": text("tokenizer_config.json", b'{"do_lower_case": "no"}'),
    "settings: other tokens": text("tokenizer_config.json", b'{"sep_token": "</s>"}'),
    "settings: token a number": text("tokenizer_config.json", b'{"cls_token": 7}'),
    "settings: token null": text("tokenizer_config.json", b'{"sep_token": null}'),
    "settings: further tokens a word": text(
        "tokenizer_config.json", b'{"extra_special_tokens": "<a>"}'),
    "settings: tokens a list": text("tokenizer_config.json", b'{"added_tokens_decoder": [1]}'),
    "added tokens: an array": text("added_tokens.json", b"[]"),
    "added tokens: no number": text("added_tokens.json", b'{"a b": "x"}'),
    "special tokens: not UTF-8": text("special_tokens_map.json", b"\xff"),
}  # fmt: skip


def test_hostile_folders(tmp_path: Path, tiny_data: Path, tally: Tally) -> None:
    """Hostile encoder folders: exit code 2 and one line, in 15 s and 512 MiB."""
    whole = tmp_path / "whole"
    write_random(whole, seed=0)
    for number, (name, damage) in enumerate(DAMAGES.items()):
        folder = tmp_path / f"e{number}"
        shutil.copytree(whole, folder)
        damage(folder)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.monotonic()
        words = [f"encoder={folder}", f"data={tiny_data}", "train.max_steps=1", "--quiet"]
        result = CliRunner().invoke(main, ["train", *words, "--runs", str(tmp_path / "runs")])
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        one_line = result.output.startswith("Error: ") and result.output.count("\n") == 1
        held = result.exit_code == 2 and one_line and str(folder) in result.output
        quick = time.monotonic() - start < SECONDS and grown < 512 * 1024
        tally.add(held and quick, f"{name}: {result.exit_code} {result.output[-300:]}")
        shutil.rmtree(folder)
    assert len(DAMAGES) >= 72
