"""The tokenizer of a published encoder: the tokens that `transformers` gives.

A class of a family (`mtl.model.tokenizer_classes`) takes only the vocabulary from `tokenizer.json`
or `vocab.txt`, and its rules from `tokenizer_config.json`. The general class takes `tokenizer.json`
as it is. Both add the tokens that `tokenizer_config.json`, or the older files beside it, name.
Measured against transformers 5.24; a setting that is not computed here is refused.
"""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl.data.tokens import content
from mtl.errors import EncoderError, printable, short
from mtl.files import parse_json, read_regular
from mtl.model.added_tokens import (
    NAMED,
    add_tokens,
    check_tokens,
    listed_tokens,
    named_tokens,
    older_token,
    text_of,
)
from mtl.model.families import BERT, Family
from mtl.model.layout import class_layout, file_layout, takes_types
from mtl.model.pairing import Layout
from mtl.model.tokenizer_classes import CLASSES, TokenizerClass

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER, VOCABULARY, SETTINGS = "tokenizer.json", "vocab.txt", "tokenizer_config.json"
ADDED, SPECIAL = "added_tokens.json", "special_tokens_map.json"
MAX_BYTES = 64 * 2**20
"""Limit of each tokenizer file. That of a BERT with 250 000 words has 9 MB."""
GENERAL_CLASSES = frozenset({"PreTrainedTokenizer", "TokenizersBackend"})
GROWING = frozenset({"Replace", "Prepend", "ByteLevel", "Sequence"})
"""Normalizers that can make a text longer; each is refused where a text could grow much."""
MAX_PREPENDED = 16
FLAGS = ("do_lower_case", "strip_accents", "tokenize_chinese_chars", "split_special_tokens",
         "add_prefix_space")  # fmt: skip


def tokenizer_file(folder: Path) -> Path:
    """`tokenizer.json`, or else `vocab.txt`. Raises EncoderError without either."""
    for name in (TOKENIZER, VOCABULARY):
        if (folder / name).is_file():
            return folder / name
    raise EncoderError(f"{folder}: no {TOKENIZER} and no {VOCABULARY}; one of them is needed.")


def plain_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of `tokenizer.json` alone, or of `vocab.txt` in lower case.

    Raises EncoderError where the file is damaged.
    """
    from tokenizers import BertWordPieceTokenizer, Tokenizer

    path = tokenizer_file(folder)
    raw = read_file(path)
    try:
        if path.name == TOKENIZER:
            _check_prefix(raw)
            tokenizer: Tokenizer = Tokenizer.from_buffer(raw)
        else:
            raw.decode()
            tokenizer = BertWordPieceTokenizer(str(path), lowercase=True)._tokenizer
    except Exception as error:  # the library raises bare Exception for every malformed file
        raise EncoderError(f"{path}: not a tokenizer: {reason(error)}.") from None
    _check_rules(path, tokenizer)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@dataclass(frozen=True, kw_only=True)
class ReadTokenizer:
    """A tokenizer without truncation and padding, and the special tokens of its sequences.

    `changed`: settings beside its file matter. `usual`: the layout is that of the family's own
    class. `special` are the special tokens by their keys: `cls_token`, `sep_token` and others.
    """

    tokenizer: Tokenizer
    changed: bool
    layout: Layout
    usual: bool
    special: Mapping[str, str]


def read_tokenizer(
    folder: Path, model_settings: Mapping[str, Any], family: Family = BERT
) -> ReadTokenizer:
    """The tokenizer with all that the folder's settings change.

    `model_settings` are those of `config.json`, which may name the tokenizer's class. Raises
    EncoderError for a damaged file, for a setting that is not supported, and where a special token
    of the layout is not in the vocabulary.
    """
    settings = _settings(folder)
    kind = settings.get("tokenizer_class") or model_settings.get("tokenizer_class")
    if kind is not None and not isinstance(kind, str):
        raise EncoderError(f"{folder / SETTINGS}: tokenizer_class: not a name: {short(kind)}.")
    kind = (kind or family.tokenizer).removesuffix("Fast")
    if kind not in CLASSES.keys() | GENERAL_CLASSES or "auto_map" in settings:
        raise EncoderError(
            f"{folder / SETTINGS}: tokenizer_class {kind}: expected one of {', '.join(CLASSES)}. "
            "Save the tokenizer as a PreTrainedTokenizerFast."
        )
    path = tokenizer_file(folder)
    rules = CLASSES.get(kind)
    if path.name != TOKENIZER and (rules is None or not rules.from_words):
        raise EncoderError(f"{folder}: tokenizer_class {kind} needs {TOKENIZER}.")
    built = plain_tokenizer(folder)
    plain = content(built)
    try:
        check_tokens(settings)
        named = named_tokens(settings, rules)
    except ValueError as error:
        raise EncoderError(f"{folder / SETTINGS}: {error}.") from None
    special = {key: text_of(value) for key, value in named.items()}
    try:
        in_file = json.loads(read_file(path))["added_tokens"] if path.name == TOKENIZER else []
        listed = listed_tokens(settings, _optional(folder / ADDED), in_file)
        if rules is not None:
            built = rules.rebuild(built, settings, special)
        built.encode_special_tokens = bool(settings.get("split_special_tokens", False))
        add_tokens(built, settings, named, listed, rules)
    except EncoderError:
        raise
    except Exception as error:  # as above
        raise EncoderError(
            f"{folder / SETTINGS}: does not fit {path.name}: {reason(error)}."
        ) from None
    try:
        _check_unknown(built)
        layout = _layout(built, settings, special, rules, types=family.types)
    except ValueError as error:
        raise EncoderError(f"{path}: {error}.") from None
    return ReadTokenizer(
        tokenizer=built,
        changed=content(built) != plain,
        layout=layout,
        usual=layout == _usual_layout(built, family),
        special=special,
    )


def rules_of(family: Family) -> TokenizerClass:
    """The rules of a family's usual tokenizer class."""
    return CLASSES[family.tokenizer]


def _layout(
    built: Tokenizer,
    settings: Mapping[str, Any],
    special: Mapping[str, str],
    rules: TokenizerClass | None,
    *,
    types: bool,
) -> Layout:
    """The special tokens of sequences: a class has its own, the general class those of the file."""
    ignored = types and not takes_types(settings)
    if rules is not None:
        layout = class_layout(built, rules, special)
        return replace(layout, typed=False) if ignored else layout
    for key in ("add_bos_token", "add_eos_token"):
        if key in settings:
            raise ValueError(
                f"{key} in {SETTINGS} is not supported. Give {TOKENIZER} a post-processor"
            )
    layout = file_layout(built, types=types and not ignored)
    if not (layout.before or layout.after):
        raise ValueError(
            "it adds no special tokens to a text. Give it a post-processor, or set tokenizer_class "
            f"in {SETTINGS} to the encoder's own"
        )
    return replace(layout, typed=False) if ignored else layout


def _usual_layout(built: Tokenizer, family: Family) -> Layout | None:
    """The layout of the family's own class. None where its special tokens are not all there."""
    rules = rules_of(family)
    try:
        return class_layout(built, rules, rules.special)
    except ValueError:
        return None


def read_file(path: Path) -> bytes:
    """A tokenizer file's bytes. Raises EncoderError where it cannot be read or is too large."""
    try:
        return read_regular(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        raise EncoderError(f"{path}: cannot be read: {reason(error)}.") from None


def read_settings(path: Path) -> dict[str, Any]:
    """The object in one of an encoder's JSON files. Raises EncoderError where it is damaged."""
    try:
        value = parse_json(read_file(path).removeprefix(BOM_UTF8))
    except ValueError as error:
        raise EncoderError(f"{path}: cannot be read: {reason(error)}.") from None
    if not isinstance(value, dict):
        raise EncoderError(f"{path}: expected an object, got {short(value)}.")
    return value


def reason(error: Exception) -> str:
    """A library's message on one line."""
    return printable(" ".join(str(error).split()) or type(error).__name__)


def _settings(folder: Path) -> dict[str, Any]:
    """`tokenizer_config.json` with the older `special_tokens_map.json`.

    The latter wins, except against further keys such as `image_token`.
    """
    settings = _optional(folder / SETTINGS)
    if "added_tokens_decoder" not in settings:
        for key, value in _optional(folder / SPECIAL).items():
            own = key.endswith("_token") and key not in NAMED
            if not (own and isinstance(settings.get(key), str)):
                settings[key] = older_token(value) if own or isinstance(value, dict) else value
    for key in FLAGS:
        if not isinstance(settings.get(key), bool | None):
            raise EncoderError(
                f"{folder / SETTINGS}: {key}: expected true or false, got {short(settings[key])}."
            )
    return settings


def _optional(path: Path) -> dict[str, Any]:
    return read_settings(path) if path.exists() else {}


def _check_prefix(raw: bytes) -> None:
    """Refuse a BPE with a prefix of inner pieces: the library may stop the process on one."""
    if b"continuing_subword_prefix" not in raw or b'"merges"' not in raw:
        return
    model = json.loads(raw).get("model", {})
    if model.get("merges") and model.get("continuing_subword_prefix"):
        raise ValueError("a BPE with a continuing_subword_prefix is not supported")


def _check_rules(path: Path, tokenizer: Tokenizer) -> None:
    """Refuse models that are not supported or draw at random, and rules that let a text grow."""
    from tokenizers import models

    model = tokenizer.model
    if not isinstance(model, models.WordPiece | models.BPE | models.Unigram):
        raise EncoderError(f"{path}: expected word pieces, BPE or Unigram.")
    if isinstance(model, models.BPE) and model.dropout:
        raise EncoderError(f"{path}: a BPE with dropout draws at random. Set dropout to null.")
    rules = json.loads(tokenizer.normalizer.__getstate__()) if tokenizer.normalizer else {}
    listed = rules.get("normalizers", [rules])
    kinds = [rule.get("type") for rule in listed]
    for rule, kind in zip(listed, kinds, strict=True):
        if kind in GROWING and (kinds.count(kind) > 1 or not _is_bounded(rule)):
            raise EncoderError(
                f"{path}: the normalizer {kind} is not supported: a text could grow."
            )


def _is_bounded(rule: Mapping[str, Any]) -> bool:
    """Whether a rule replaces by something no longer, or adds little."""
    if rule["type"] == "Replace":
        text, pattern = rule["pattern"].get("String"), rule["pattern"].get("Regex")
        longest = len(text) if text else int(pattern in (" {2,}", "\\s+"))
        return len(rule["content"]) <= longest
    if rule["type"] == "Prepend":
        return len(rule["prepend"]) <= MAX_PREPENDED
    return bool(rule["type"] == "ByteLevel")


def _check_unknown(built: Tokenizer) -> None:
    """Raise ValueError where the tokenizer cannot name what is not in its vocabulary."""
    from tokenizers import models

    words, model = built.get_vocab(with_added_tokens=False), built.model
    if isinstance(model, models.Unigram):
        known = json.loads(built.to_str())["model"]["unk_id"] is not None
    else:
        known = model.unk_token in words or model.unk_token is None
    if not known:
        raise ValueError("the vocabulary lacks the unknown token (unk_token)")
