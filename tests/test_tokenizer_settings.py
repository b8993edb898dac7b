"""Settings of tokenizers in chance combinations: the tokens of `transformers`, or a refusal."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoTokenizer

from mtl.errors import EncoderError
from mtl.model.pairing import PAIRERS
from mtl.model.pretrained import Pretrained
from mtl.model.tokenizer import FLAGS, GENERAL_CLASSES
from mtl.model.tokenizer_classes import CLASSES
from tests.family_tools import FAMILY_NAMES, TEXTS, write_family

KINDS = [*CLASSES, "RobertaTokenizerFast", "PreTrainedTokenizerFast", *sorted(GENERAL_CLASSES)]
KEYS = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
        "image_token", "own_token"]  # fmt: skip
TYPED = {"__type": "AddedToken", "rstrip": False, "single_word": False, "special": True}
TOKENS: list[Any] = [
    "[CLS]", "[SEP]", "[MASK]", "[UNK]", "<s>", "</s>", "<unk>", "<pad>", "<mask>", "<new>", "good",
    TYPED | {"content": "<typed>", "lstrip": True, "normalized": True},
    TYPED | {"content": "<mask>", "lstrip": True, "normalized": False},
]  # fmt: skip
FURTHER: list[Any] = [["<a>"], [], {"a_token": "<a>"}, ["<a>", "<mask>"],
                      [TYPED | {"content": "<a>", "lstrip": True}]]  # fmt: skip
TRIALS, LEAST_EQUAL = 400, 150
OWN_TEXTS = [*TEXTS, "<new> x<new>y <typed> good Good", "<a> <A> cats, <mask>  z", "[sep] <S> Ünï"]


def chance_settings(draw: random.Random, folder: Path) -> dict[str, Any]:
    """`tokenizer_config.json` by chance; other files of the folder change too."""
    path = folder / "tokenizer_config.json"
    settings: dict[str, Any] = json.loads(path.read_text()) if draw.random() < 0.5 else {}
    if draw.random() < 0.5:
        settings["tokenizer_class"] = draw.choice(KINDS)
    for _ in range(draw.choice([0, 0, 1, 1, 2, 3])):
        settings[draw.choice(KEYS)] = draw.choice(TOKENS)
    for _ in range(draw.choice([0, 0, 1, 2])):
        settings[draw.choice(FLAGS)] = draw.choice([True, False])
    if draw.random() < 0.2:
        settings[draw.choice(["extra_special_tokens", "additional_special_tokens"])] = draw.choice(
            FURTHER
        )
    if draw.random() < 0.2:
        rules = {key: draw.random() < 0.5 for key in ("lstrip", "normalized", "special")}
        token = TYPED | {"content": draw.choice(["<a>", "good", "<mask>"])} | rules
        del token["__type"]
        settings["added_tokens_decoder"] = {"3": token}
    if draw.random() < 0.2:
        older = {draw.choice(KEYS): draw.choice(TOKENS[:-2])}
        (folder / "special_tokens_map.json").write_text(json.dumps(older))
    if draw.random() < 0.2:
        added = {draw.choice(["<a>", "[MASK]", "good"]): draw.choice([3, 200, 500])}
        (folder / "added_tokens.json").write_text(json.dumps(added))
    path.write_text(json.dumps(settings))
    return settings


def change_file(draw: random.Random, folder: Path) -> None:
    """Change `tokenizer.json` by chance, or put a `vocab.txt` in its place."""
    path = folder / "tokenizer.json"
    stored = json.loads(path.read_text("utf-8"))
    change = draw.choice([
        {}, {}, {"post_processor": None}, {"added_tokens": []}, {"normalizer": None},
        {"normalizer": {"type": "NFKC"}}, {"pre_tokenizer": {"type": "Whitespace"}},
    ])  # fmt: skip
    path.write_text(json.dumps(stored | change), "utf-8")
    vocabulary = stored["model"]["vocab"]
    if isinstance(vocabulary, dict) and draw.random() < 0.1:
        (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", "utf-8")
        path.unlink()


def test_tokens_equal_the_reference_or_are_refused(tmp_path: Path) -> None:
    draw, equal = random.Random(0), 0
    whole = {family: write_family(tmp_path / family, family) for family in FAMILY_NAMES}
    for number in range(TRIALS):
        family = draw.choice(FAMILY_NAMES)
        folder = tmp_path / f"e{number}"
        shutil.copytree(whole[family], folder)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 2000}))
        settings = chance_settings(draw, folder)
        change_file(draw, folder)
        pretrained = Pretrained("x", folder)
        try:
            encode, layout = pretrained.tokenizer().encode, pretrained.layout
        except EncoderError:
            continue
        theirs, pairer = AutoTokenizer.from_pretrained(folder), PAIRERS["concat"](layout, 200)
        for first, second in zip(OWN_TEXTS, reversed(OWN_TEXTS), strict=True):
            ids = [np.array(encode(text, add_special_tokens=False).ids, dtype=np.int32)
                   for text in (first, second)]  # fmt: skip
            sequences, types = pairer.pairs([ids[0]], [ids[1]])
            found = (ids[0].tolist(), pairer.single(ids[0]).tolist(), sequences[0].tolist())
            pair = theirs([first], [second], return_token_type_ids=True)
            wanted = (
                theirs([first], add_special_tokens=False)["input_ids"][0],
                theirs([first])["input_ids"][0],
                pair["input_ids"][0],
            )
            assert found == wanted, f"{family} {settings} {first!r} {second!r} {type(theirs)}"
            if pretrained.family.types:
                assert types[0].tolist() == pair["token_type_ids"][0], (family, settings)
        equal += 1
        shutil.rmtree(folder)
    assert equal >= LEAST_EQUAL
