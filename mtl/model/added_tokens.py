"""The tokens that an encoder's settings add to its vocabulary: named, listed and further ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mtl.errors import short
from mtl.model.tokenizer_classes import TokenizerClass

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token",
         "mask_token")  # fmt: skip
"""The standard special tokens, in the order in which a tokenizer gets those that it lacks."""
FURTHER = ("extra_special_tokens", "additional_special_tokens")
RULES = ("single_word", "lstrip", "rstrip", "normalized", "special")


def check_tokens(settings: Mapping[str, Any]) -> None:
    """Raise ValueError, whose message begins with the key, for a special token of a wrong type."""
    for key in NAMED:
        value = settings.get(key)
        if value is not None and not _is_token(value):
            raise ValueError(f"{key}: expected a token, got {short(value)}")
    for key in FURTHER:
        tokens = settings.get(key) or []
        values = tokens.values() if isinstance(tokens, dict) else tokens
        if not isinstance(tokens, list | dict) or not all(map(_is_token, values)):
            raise ValueError(f"{key}: expected a list of tokens, got {short(tokens)}")


def named_tokens(settings: Mapping[str, Any], rules: TokenizerClass | None) -> dict[str, Any]:
    """The special tokens that settings or the class name, by key: the standard ones, then others.

    Raises ValueError for a null that takes a token from the class.
    """
    found: dict[str, Any] = dict(rules.special) if rules else {}
    for key in found:
        if settings.get(key, "") is None:
            raise ValueError(f"{key}: null is not supported here. Take the key out")
    found |= {key: settings[key] for key in NAMED if settings.get(key) is not None}
    others = {key: value for key, value in settings.items()
              if key.endswith("_token") and key not in NAMED}  # fmt: skip
    typed = {key: value for key, value in others.items()
             if isinstance(value, dict) and "__type" in value and _is_token(value)}  # fmt: skip
    words = {key: value for key, value in others.items() if isinstance(value, str)}
    further = settings.get(FURTHER[0]) or settings.get(FURTHER[1])
    own = typed | words | (further if isinstance(further, dict) else {})
    return {key: found[key] for key in NAMED if key in found} | own


def listed_tokens(
    settings: Mapping[str, Any], older: Mapping[str, int], in_file: Iterable[Mapping[str, Any]]
) -> dict[int, AddedToken]:
    """The added tokens by their ids.

    Settings list them, or else `added_tokens.json` (`older`) and `tokenizer.json` (`in_file`) do.
    """
    from tokenizers import AddedToken

    listed = settings.get("added_tokens_decoder")
    if listed is not None:
        return {int(number): token_of(token) for number, token in listed.items()}
    special = {text_of(settings[key]) for key in NAMED if settings.get(key)}
    special |= set(map(text_of, further_tokens(settings)))
    tokens = {
        number: AddedToken(word, normalized=word not in special, special=word in special)
        for word, number in older.items()
    }
    return tokens | {token["id"]: token_of(token) for token in in_file}


def further_tokens(settings: Mapping[str, Any], rules: TokenizerClass | None = None) -> list[Any]:
    """The special tokens without a name: those of settings, or else those of the class."""
    if rules and not any(key in settings for key in FURTHER):
        return list(rules.extra)
    found = settings.get(FURTHER[0]) or settings.get(FURTHER[1]) or []
    return [] if isinstance(found, dict) else list(found)


def add_tokens(
    built: Tokenizer,
    settings: Mapping[str, Any],
    named: Mapping[str, Any],
    listed: Mapping[int, AddedToken],
    rules: TokenizerClass | None,
) -> None:
    """Add the tokens that the tokenizer lacks: listed ones, then named, then further ones."""
    spaced = rules.spaced if rules else frozenset()
    special = [token_of(value, lstrip=key in spaced) for key, value in named.items()]
    special += map(token_of, further_tokens(settings, rules))
    there = built.get_added_tokens_decoder().values()
    known = set(map(repr, there))
    tokens = [token for _, token in sorted(listed.items()) if repr(token) not in known]
    texts = {token.content for token in (*there, *tokens)}
    # One text may be named with several rules; the library takes all of them, in order.
    tokens += [token for token in special if token.content not in texts]
    names = set(map(text_of, named.values()))
    for token in tokens:
        token.special = token.special or token.content in names
    built.add_tokens(tokens)


def token_of(value: Any, *, lstrip: bool = False) -> AddedToken:
    """A token as files write it. A word alone is a special token; `lstrip`: it takes spaces."""
    from tokenizers import AddedToken

    if isinstance(value, dict):
        # The library prints a line on stdout for a key that it does not know.
        rules = {key: bool(value[key]) for key in RULES if key in value}
        return AddedToken(value["content"], **rules)
    return AddedToken(value, special=True, lstrip=lstrip)


def older_token(value: Any) -> Any:
    """A token of `special_tokens_map.json` as `tokenizer_config.json` would have it."""
    content = {"content": value} if isinstance(value, str) else value
    if not isinstance(content, dict) or not _is_token(content):
        return value
    return content | {"__type": "AddedToken", "special": True}


def text_of(value: Any) -> str:
    """A token's text."""
    return str(value.get("content")) if isinstance(value, dict) else str(value)


def _is_token(value: Any) -> bool:
    return isinstance(value.get("content") if isinstance(value, dict) else value, str)
