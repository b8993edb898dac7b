"""The special tokens of sequences: as a tokenizer class has them, or as a post-processor does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mtl.model.pairing import Layout
from mtl.model.tokenizer_classes import TokenizerClass

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer


def class_layout(built: Tokenizer, rules: TokenizerClass, special: Mapping[str, str]) -> Layout:
    """The layout of a class. Raises ValueError with the special tokens that are missing."""
    keys = ("unk_token", "pad_token", rules.before, rules.after)
    known = {key: built.token_to_id(special[key]) for key in keys}
    numbers = {key: number for key, number in known.items() if number is not None}
    missing = [special[key] for key in keys if key not in numbers]
    if missing:
        raise ValueError(
            f"the vocabulary lacks {', '.join(dict.fromkeys(missing))}, which the encoder needs"
        )
    after = (numbers[rules.after],)
    return Layout(
        before=(numbers[rules.before],),
        between=after * rules.between,
        after=after,
        typed=rules.typed,
    )


def file_layout(built: Tokenizer, *, types: bool) -> Layout:
    """The layout of a tokenizer's own post-processor.

    `types`: the encoder gets token types, so those of the post-processor count. Raises ValueError
    for a layout that is not computed here.
    """
    single, pair = built.encode("a"), built.encode("a", "b")
    (before, after), (head, between, tail) = _special(single, 1), _special(pair, 2)
    if (before, after) != (head, tail):
        raise ValueError("the special tokens around one text are not those around two")
    typed, start = any(pair.type_ids), pair.sequence_ids.index(1)
    wanted = [0] * start + [int(typed)] * (len(pair) - start)
    if types and (any(single.type_ids) or pair.type_ids != wanted):
        raise ValueError("token types: expected 0 for the first text and 0 or 1 for the second")
    return Layout(before=before, between=between, after=after, typed=typed)


def takes_types(settings: Mapping[str, Any]) -> bool:
    """Whether an encoder gets the token types: where `model_input_names` is absent, it does."""
    names = settings.get("model_input_names")
    return not isinstance(names, list) or "token_type_ids" in names


def _special(encoding: Encoding, texts: int) -> list[tuple[int, ...]]:
    """The special tokens before the first text, between two texts, and after the last."""
    places = encoding.sequence_ids
    edges = [0]
    for text in range(texts):
        if text not in places:
            raise ValueError("it has no tokens for the letters a and b")
        edges += [places.index(text), len(places) - places[::-1].index(text)]
    edges.append(len(places))
    if edges != sorted(edges):
        raise ValueError("the post-processor puts the second text first")
    found = zip(edges[::2], edges[1::2], strict=True)
    return [tuple(encoding.ids[first:last]) for first, last in found]
