"""The tokenizer of a published encoder: the tokens that `transformers` gives.

A class of a family (`mtl.model.tokenizer_classes`) takes only the vocabulary from `tokenizer.json`
or `vocab.txt`, and its rules from `tokenizer_config.json`. The general class takes `tokenizer.json`
as it is. Both add the tokens that `tokenizer_config.json`, or the older files beside it, name.
Measured against transformers 5.24; a setting that is not computed here is refused.
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
from mtl.model.families import BERT, Family
from mtl.model.pairing import Layout
from mtl.model.tokenizer_classes import BERT_SPECIAL, CLASSES, TokenizerClass

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

TOKENIZER, VOCABULARY, SETTINGS = "tokenizer.json", "vocab.txt", "tokenizer_config.json"
ADDED, SPECIAL = "added_tokens.json", "special_tokens_map.json"
MAX_BYTES = 64 * 2**20
"""Limit of each tokenizer file. That of a BERT with 250 000 words has 9 MB."""
GENERAL_CLASSES = frozenset({"PreTrainedTokenizer", "TokenizersBackend"})
GROWING = frozenset({"Replace", "Prepend", "ByteLevel", "Sequence"})
"""Normalizers that are refused: a text could grow without bound. A sequence within one too."""
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
    """A tokenizer without truncation and padding, and the special tokens of its sequences.

    `changed`: settings beside its file matter. `special` are the special tokens by their keys:
    `cls_token`, `sep_token` and others.
    """

    tokenizer: Tokenizer
    changed: bool
    layout: Layout
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
    special = {key: _text(value) for key, value in settings.items() if _is_special(key, value)}
    special = dict(rules.special if rules else {}) | special
    try:
        listed = _listed_tokens(folder, settings, path)
        if rules is not None:
            built = rules.rebuild(built, settings, special)
        built.encode_special_tokens = bool(settings.get("split_special_tokens", False))
        _add_tokens(built, listed, _named_tokens(settings, listed, rules))
    except EncoderError:
        raise
    except Exception as error:  # as above
        raise EncoderError(
            f"{folder / SETTINGS}: does not fit {path.name}: {reason(error)}."
        ) from None
    special = dict(rules_of(family).special) | special
    layout = _layout(built, rules or rules_of(family), special, path)
    return ReadTokenizer(
        tokenizer=built, changed=content(built) != plain, layout=layout, special=special
    )


def rules_of(family: Family) -> TokenizerClass:
    """The rules of a family's usual tokenizer class."""
    return CLASSES[family.tokenizer]


def _layout(
    built: Tokenizer, rules: TokenizerClass, special: Mapping[str, str], path: Path
) -> Layout:
    """The special tokens of sequences, by a class. Raises EncoderError where one is missing."""
    keys = ("unk_token", "pad_token", rules.before, rules.after)
    known = {key: built.token_to_id(special[key]) for key in keys}
    numbers = {key: number for key, number in known.items() if number is not None}
    missing = [special[key] for key in keys if key not in numbers]
    if missing:
        raise EncoderError(
            f"{path}: the vocabulary lacks {', '.join(dict.fromkeys(missing))}, which the encoder "
            "needs."
        )
    after = (numbers[rules.after],)
    return Layout(
        before=(numbers[rules.before],),
        between=after * rules.between,
        after=after,
        typed=rules.typed,
    )


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
    """Refuse models that are not supported, and rules that can make a text grow without bound."""
    from tokenizers import models

    if not isinstance(tokenizer.model, models.WordPiece | models.BPE | models.Unigram):
        raise EncoderError(f"{path}: expected word pieces, BPE or Unigram.")
    rules = json.loads(tokenizer.normalizer.__getstate__()) if tokenizer.normalizer else {}
    for rule in rules.get("normalizers", [rules]):
        if rule.get("type") in GROWING and not _is_bounded(rule):
            raise EncoderError(
                f"{path}: the normalizer {rule['type']} is not supported: a text could grow."
            )


def _is_bounded(rule: Mapping[str, Any]) -> bool:
    """Whether a replacement is of runs of white space by something no longer, as XLM-R has it."""
    pattern = rule.get("pattern", {}).get("Regex", "")
    return rule["type"] == "Replace" and pattern in (" {2,}", "\\s+") and len(rule["content"]) <= 1


def _is_special(key: str, value: Any) -> bool:
    return key.endswith("_token") and isinstance(value, str | dict)


def _listed_tokens(folder: Path, settings: Mapping[str, Any], path: Path) -> dict[int, AddedToken]:
    """The added tokens that files list, by their id there."""
    from tokenizers import AddedToken

    listed = settings.get("added_tokens_decoder")
    if listed is not None:
        return {int(number): _token(token) for number, token in listed.items()}
    special = {_text(value) for key, value in settings.items() if _is_special(key, value)}
    special |= {*BERT_SPECIAL.values(), *map(_text, _extra(settings))}
    tokens = {
        number: AddedToken(word, normalized=word not in special, special=word in special)
        for word, number in _optional(folder / ADDED).items()
    }
    if path.name == TOKENIZER:
        for token in json.loads(read_file(path))["added_tokens"]:
            tokens[token["id"]] = _token(token)
    return tokens


def _named_tokens(
    settings: Mapping[str, Any], listed: Mapping[int, AddedToken], rules: TokenizerClass | None
) -> list[AddedToken]:
    """The special tokens that settings or the class name."""
    by_text = {token.content: token for token in listed.values()}
    values: dict[str, Any] = dict(rules.special) if rules else {}
    values |= {key: value for key, value in settings.items() if _is_special(key, value)}
    spaced = rules.spaced if rules else frozenset()
    named = [
        by_text.get(_text(value)) or _token(value, lstrip=key in spaced)
        for key, value in values.items()
    ]
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


def _token(value: Any, *, lstrip: bool = False) -> AddedToken:
    """A token as files write it. A word alone is a special token; `lstrip`: it takes spaces."""
    from tokenizers import AddedToken

    if isinstance(value, dict):
        # The library prints a line on stdout for a key that it does not know.
        rules = {key: bool(value[key]) for key in TOKEN_RULES if key in value}
        return AddedToken(value["content"], **rules)
    return AddedToken(value, special=True, lstrip=lstrip)


def _text(value: Any) -> str:
    return str(value.get("content")) if isinstance(value, dict) else str(value)
