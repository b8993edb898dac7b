"""Tokens equal those of `transformers` for every setting of a tokenizer, or it is refused."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from mtl.errors import EncoderError
from mtl.model.pretrained import Pretrained
from mtl.model.random_tiny import write_random

TEXTS = [
    "the good film",
    "The GOOD Film's é à ǅ",
    "中文 and 中 文",
    "a\x00b\u200bc\td\u00a0e",
    "[CLS] the [SEP] [MASK] [UNK]",
    "goodfilm Good film goodFilm",
    "<a> x<a>y <A>",
    "",
]
ADDED = {
    "content": "goodfilm",
    "lstrip": False,
    "normalized": True,
    "rstrip": False,
    "single_word": False,
    "special": False,
}
WORDS = ["The", "GOOD", "Film", "é", "中", "文", "中文", "à"]


def folder_with(path: Path, settings: dict[str, Any] | None, **files: Any) -> Path:
    """A random encoder with a cased vocabulary, settings of its tokenizer, and more files."""
    write_random(path, seed=0)
    vocabulary = (path / "vocab.txt").read_text("utf-8") + "\n".join(WORDS) + "\n"
    (path / "vocab.txt").write_text(vocabulary, "utf-8")
    (path / "tokenizer_config.json").unlink()
    if settings is not None:
        (path / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    for name, content in files.items():
        (path / f"{name}.json").write_text(json.dumps(content), "utf-8")
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"vocab_size": 1000}))
    return path


def as_json_file(path: Path, **rules: Any) -> None:
    """Replace `vocab.txt` by a `tokenizer.json` with BERT's rules of one's own."""
    from tokenizers import BertWordPieceTokenizer

    BertWordPieceTokenizer(str(path / "vocab.txt"), **rules).save(str(path / "tokenizer.json"))
    (path / "vocab.txt").unlink()


def check_parity(path: Path, texts: list[str] = TEXTS) -> None:
    from transformers import AutoTokenizer

    theirs, ours = AutoTokenizer.from_pretrained(path), Pretrained("x", path).tokenizer()
    for text in texts:
        expected = theirs(text, add_special_tokens=False)["input_ids"]
        assert ours.encode(text, add_special_tokens=False).ids == expected, text


@pytest.mark.parametrize("json_file", [False, True])
@pytest.mark.parametrize(
    ("lowercase", "accents", "chinese"), list(product([None, True, False], repeat=3))
)
def test_case_accents_and_chinese(
    tmp_path: Path,
    json_file: bool,
    lowercase: bool | None,
    accents: bool | None,
    chinese: bool | None,
) -> None:
    given = {
        "do_lower_case": lowercase,
        "strip_accents": accents,
        "tokenize_chinese_chars": chinese,
    }
    settings = {key: value for key, value in given.items() if value is not None}
    path = folder_with(tmp_path / "encoder", settings)
    if json_file:
        as_json_file(path, lowercase=False)
    check_parity(path)


@pytest.mark.parametrize("rules", [{"lowercase": True}, {"lowercase": False}])
@pytest.mark.parametrize("kind", ["PreTrainedTokenizerFast", "BertTokenizerFast", None])
def test_the_class_decides_whether_the_file_keeps_its_rules(
    tmp_path: Path, kind: str | None, rules: dict[str, Any]
) -> None:
    path = folder_with(tmp_path / "encoder", {} if kind is None else {"tokenizer_class": kind})
    as_json_file(path, **rules)
    check_parity(path)


@pytest.mark.parametrize(
    "change",
    [{}, {"lstrip": True}, {"rstrip": True}, {"normalized": False}, {"single_word": True}],
)
@pytest.mark.parametrize("json_file", [False, True])
def test_added_tokens(tmp_path: Path, change: dict[str, Any], json_file: bool) -> None:
    listed = {"900": ADDED | change, "901": ADDED | {"content": "<a>", "special": True}}
    path = folder_with(tmp_path / "encoder", {"added_tokens_decoder": listed})
    if json_file:
        as_json_file(path, lowercase=True)
    check_parity(path)


@pytest.mark.parametrize("json_file", [False, True])
def test_older_files_and_further_special_tokens(tmp_path: Path, json_file: bool) -> None:
    path = folder_with(
        tmp_path / "encoder",
        {"additional_special_tokens": ["<a>"], "split_special_tokens": False},
        added_tokens={"goodfilm": 900},
        special_tokens_map={"mask_token": "[MASK]", "cls_token": {"content": "[CLS]"}},
    )
    if json_file:
        as_json_file(path, lowercase=True)
    check_parity(path)


def test_tokens_that_the_vocabulary_lacks_are_added_in_the_order_of_their_names(
    tmp_path: Path,
) -> None:
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "mask_token": "<m>",
        "image_token": {"content": "<i>"},
        "audio_token": "<u>",
        "cls_token": "<c>",
        "bos_token": {"__type": "AddedToken", "content": "<b>", "lstrip": True},
        "pad_token": None,
        "extra_special_tokens": ["<a>"],
    }
    path = folder_with(tmp_path / "encoder", settings)
    as_json_file(path, lowercase=True)
    check_parity(path, ["<m> a <i> <u> x <c>", "a <b> <a>"])


@pytest.mark.parametrize("normalizer", [
    {"type": "ByteLevel"},
    {"type": "Prepend", "prepend": "_"},
    {"type": "Replace", "pattern": {"String": "good"}, "content": "a"},
])  # fmt: skip
def test_a_file_may_have_rules_that_keep_a_text_short(
    tmp_path: Path, normalizer: dict[str, Any]
) -> None:
    path = general_folder(tmp_path / "encoder", normalizer=normalizer)
    check_parity(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], "dropout": 0.1}},
         "dropout draws at random"),
        ({"model": {"type": "BPE", "vocab": {"##a": 0, "##b": 1, "##ab": 2},
                    "merges": [["##a", "##b"]], "continuing_subword_prefix": "##"}},
         "continuing_subword_prefix is not supported"),
        ({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], "unk_token": "u"}},
         "lacks the unknown token"),
        ({"model": {"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": None}},
         "lacks the unknown token"),
        ({"model": {"type": "WordPiece", "vocab": {"a": 0}, "unk_token": "[U]",
                    "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}},
         "lacks the unknown token"),
        ({"normalizer": {"type": "Prepend", "prepend": "a" * 100}}, "a text could grow"),
        ({"normalizer": {"type": "Sequence", "normalizers": [{"type": "ByteLevel"}] * 9}},
         "a text could grow"),
        ({"normalizer": {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}},
         "a text could grow"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_computed_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = general_folder(tmp_path / "encoder", **change)
    with pytest.raises(EncoderError, match=message):
        Pretrained("x", path).tokenizer()


def general_folder(path: Path, **change: Any) -> Path:
    """An encoder of the general class, with a changed `tokenizer.json`."""
    folder_with(path, {"tokenizer_class": "PreTrainedTokenizerFast"})
    as_json_file(path, lowercase=True)
    stored = json.loads((path / "tokenizer.json").read_text("utf-8"))
    (path / "tokenizer.json").write_text(json.dumps(stored | change), "utf-8")
    return path


def test_special_tokens_in_a_text_can_be_split(tmp_path: Path) -> None:
    check_parity(folder_with(tmp_path / "encoder", {"split_special_tokens": True}))


def test_names_change_only_where_tokens_do(tmp_path: Path) -> None:
    neutral: list[dict[str, Any] | None] = [
        None,
        {},
        {"do_lower_case": True, "model_max_length": 128, "padding_side": "left"},
        {"tokenizer_class": "BertTokenizer", "cls_token": "[CLS]", "strip_accents": None},
    ]
    changes: list[dict[str, Any]] = [
        {"do_lower_case": False},
        {"strip_accents": False},
        {"tokenize_chinese_chars": False},
        {"added_tokens_decoder": {"900": ADDED}},
        {"split_special_tokens": True},
    ]
    names = [
        Pretrained("x", folder_with(tmp_path / str(number), settings)).fingerprint
        for number, settings in enumerate([*neutral, *changes])
    ]
    assert len(set(names[: len(neutral)])) == 1
    assert len(set(names)) == 1 + len(changes)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tokenizer_class": "BertJapaneseTokenizer"}, "expected one of BertTokenizer"),
        ({"auto_map": {"AutoTokenizer": ["x.Y", None]}}, "expected one of BertTokenizer"),
        ({"tokenizer_class": "PreTrainedTokenizerFast"}, "needs tokenizer.json"),
        ({"do_lower_case": "no"}, "expected true or false, got 'no'"),
        ({"added_tokens_decoder": {"900": {"content": 7}}}, "does not fit vocab.txt"),
        ({"added_tokens_decoder": ["x"]}, "does not fit vocab.txt"),
        ({"cls_token": 7}, "cls_token: expected a token, got 7"),
        ({"sep_token": ["[SEP]"]}, r"sep_token: expected a token, got \['\[SEP\]'\]"),
        ({"mask_token": None}, "mask_token: null is not supported here"),
        ({"extra_special_tokens": "<a>"}, "extra_special_tokens: expected a list of tokens"),
        ({"additional_special_tokens": [1]}, "additional_special_tokens: expected a list of"),
        ({"add_prefix_space": "yes"}, "expected true or false, got 'yes'"),
        ({"unk_token": "<u>"}, "lacks the unknown token"),
    ],
)
def test_what_is_not_computed_is_refused(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    path = folder_with(tmp_path / "encoder", settings)
    with pytest.raises(EncoderError, match=message):
        Pretrained("x", path).tokenizer()
