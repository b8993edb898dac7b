"""The tokenizer of a published BERT encoder: the tokens that `transformers` gives.

A class of BERT takes only the vocabulary from `tokenizer.json` or `vocab.txt`, and its rules from
`tokenizer_config.json`. The general class takes `tokenizer.json` as it is. Both add the tokens that
`tokenizer_config.json`, or the older files beside it, name. Measured against transformers 5.24; a
setting that is not computed here is refused.
"""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl.data.tokens import content
from mtl.errors import EncoderError, printable, short
from mtl.files import parse_json, read_regular

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

TOKENIZER, VOCABULARY, SETTINGS = "tokenizer.json", "vocab.txt", "tokenizer_config.json"
ADDED, SPECIAL = "added_tokens.json", "special_tokens_map.json"
MAX_BYTES = 64 * 2**20
"""Limit of each tokenizer file. That of a BERT with 250 000 words has 9 MB."""
BERT_CLASSES = frozenset({"BertTokenizer", "DistilBertTokenizer", "ConvBertTokenizer"})
GENERAL_CLASSES = frozenset({"PreTrainedTokenizer", "TokenizersBackend"})
NAMED = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
"""BERT's special tokens."""
GROWING = frozenset({"Replace", "Prepend", "Precompiled", "ByteLevel", "Sequence"})
"""Normalizers that are refused; a sequence within a sequence too."""
TOKEN_RULES = ("single_word", "lstrip", "rstrip", "normalized", "special")


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
    """A tokenizer without truncation and padding. `changed`: settings beside its file matter."""

    tokenizer: Tokenizer
    changed: bool


def read_tokenizer(folder: Path, model_settings: Mapping[str, Any]) -> ReadTokenizer:
    """The tokenizer with all that the folder's settings change.

    `model_settings` are those of `config.json`, which may name the tokenizer's class. Raises
    EncoderError for a damaged file, and for a setting that is not supported.
    """
    settings = _settings(folder)
    kind = settings.get("tokenizer_class") or model_settings.get("tokenizer_class")
    if kind is not None and not isinstance(kind, str):
        raise EncoderError(f"{folder / SETTINGS}: tokenizer_class: not a name: {short(kind)}.")
    kind = (kind or "BertTokenizer").removesuffix("Fast")
    if kind not in BERT_CLASSES | GENERAL_CLASSES or "auto_map" in settings:
        raise EncoderError(
            f"{folder / SETTINGS}: tokenizer_class {kind}: only BERT's word pieces are supported. "
            "Save the tokenizer as a BertTokenizerFast."
        )
    path = tokenizer_file(folder)
    if kind in GENERAL_CLASSES and path.name != TOKENIZER:
        raise EncoderError(f"{folder}: tokenizer_class {kind} needs {TOKENIZER}.")
    built = plain_tokenizer(folder)
    plain = content(built)
    try:
        listed = _listed_tokens(folder, settings, path)
        if kind in BERT_CLASSES:
            built = _bert(built, settings)
        built.encode_special_tokens = bool(settings.get("split_special_tokens", False))
        _add_tokens(built, listed, _named_tokens(folder, settings, listed, kind in BERT_CLASSES))
    except EncoderError:
        raise
    except Exception as error:  # as above
        raise EncoderError(
            f"{folder / SETTINGS}: does not fit {path.name}: {reason(error)}."
        ) from None
    return ReadTokenizer(tokenizer=built, changed=content(built) != plain)


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
    """`tokenizer_config.json` with the older `special_tokens_map.json`; the latter wins."""
    settings = _optional(folder / SETTINGS)
    if "added_tokens_decoder" not in settings:
        settings |= _optional(folder / SPECIAL)
    for key in ("do_lower_case", "strip_accents", "tokenize_chinese_chars", "split_special_tokens"):
        if not isinstance(settings.get(key), bool | None):
            raise EncoderError(
                f"{folder / SETTINGS}: {key}: expected true or false, got {short(settings[key])}."
            )
    return settings


def _optional(path: Path) -> dict[str, Any]:
    return read_settings(path) if path.exists() else {}


def _check_rules(path: Path, tokenizer: Tokenizer) -> None:
    """Refuse what is no word pieces, and rules that can make a text grow without bound."""
    from tokenizers import models

    if not isinstance(tokenizer.model, models.WordPiece):
        raise EncoderError(f"{path}: not the word pieces of a BERT.")
    rules = json.loads(tokenizer.normalizer.__getstate__()) if tokenizer.normalizer else {}
    for rule in rules.get("normalizers", [rules]):
        if rule.get("type") in GROWING:
            raise EncoderError(
                f"{path}: the normalizer {rule['type']} is not supported; BERT has none."
            )


def _bert(plain: Tokenizer, settings: Mapping[str, Any]) -> Tokenizer:
    """BERT's rules on the vocabulary of a file."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    vocabulary = plain.get_vocab(with_added_tokens=False)
    built = Tokenizer(models.WordPiece(vocabulary, unk_token=NAMED["unk_token"]))
    built.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
        strip_accents=settings.get("strip_accents"),
        lowercase=settings.get("do_lower_case", True),
    )
    built.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return built


def _listed_tokens(folder: Path, settings: Mapping[str, Any], path: Path) -> dict[int, AddedToken]:
    """The added tokens that files list, by their id there."""
    from tokenizers import AddedToken

    listed = settings.get("added_tokens_decoder")
    if listed is not None:
        return {int(number): _token(token) for number, token in listed.items()}
    special = {_text(settings.get(key)) for key in NAMED} | set(map(_text, _extra(settings)))
    tokens = {
        number: AddedToken(word, normalized=word not in special, special=word in special)
        for word, number in _optional(folder / ADDED).items()
    }
    if path.name == TOKENIZER:
        for token in json.loads(read_file(path))["added_tokens"]:
            tokens[token["id"]] = _token(token)
    return tokens


def _named_tokens(
    folder: Path, settings: Mapping[str, Any], listed: Mapping[int, AddedToken], bert: bool
) -> list[AddedToken]:
    """The special tokens that settings name. Raises EncoderError for names that BERT lacks."""
    by_text = {token.content: token for token in listed.values()}
    values: dict[str, Any] = dict(NAMED) if bert else {}
    for key, value in settings.items():
        if key.endswith("_token") and isinstance(value, str | dict):
            values[key] = value
    for key, expected in NAMED.items():
        if _text(values.get(key, expected)) != expected:
            raise EncoderError(
                f"{folder / SETTINGS}: {key}: expected {expected}, got "
                f"{short(_text(values[key]))}; only BERT's own special tokens are supported."
            )
    named = [by_text.get(_text(value)) or _token(value) for value in values.values()]
    for token in named:
        token.special = True
    return named + [_token(value) for value in _extra(settings)]


def _add_tokens(
    built: Tokenizer, listed: Mapping[int, AddedToken], named: Iterable[AddedToken]
) -> None:
    """Add the tokens that the tokenizer lacks: first those that files list, then the named ones."""
    there = built.get_added_tokens_decoder().values()
    known, texts = set(map(repr, there)), {token.content for token in there}
    tokens = [token for _, token in sorted(listed.items()) if repr(token) not in known]
    texts |= {token.content for token in tokens}
    for token in named:
        if token.content not in texts:
            tokens.append(token)
            texts.add(token.content)
    built.add_tokens(tokens)


def _extra(settings: Mapping[str, Any]) -> list[Any]:
    extra = settings.get("extra_special_tokens") or settings.get("additional_special_tokens") or []
    return list(extra.values()) if isinstance(extra, dict) else list(extra)


def _token(value: Any) -> AddedToken:
    """A token as files write it. A word alone is a special token."""
    from tokenizers import AddedToken

    if isinstance(value, dict):
        # The library prints a line on stdout for a key that it does not know.
        rules = {key: bool(value[key]) for key in TOKEN_RULES if key in value}
        return AddedToken(value["content"], **rules)
    return AddedToken(value, special=True)


def _text(value: Any) -> str:
    return str(value.get("content")) if isinstance(value, dict) else str(value)
