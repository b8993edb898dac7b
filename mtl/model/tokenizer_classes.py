"""The tokenizer classes of `transformers`: what each keeps of a `tokenizer.json`, and its rules.

`transformers` 5 builds a class's tokenizer anew from the vocabulary in the file and the settings in
`tokenizer_config.json`; the file's own normalizer and pre-tokenizer do not count.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Rebuild = Callable[["Tokenizer", Mapping[str, Any], Mapping[str, str]], "Tokenizer"]
"""Plain tokenizer, settings, special tokens -> the tokenizer with the class's rules."""

BERT_SPECIAL = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
ROBERTA_SPECIAL = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "cls_token": "<s>",
    "mask_token": "<mask>",
}


@dataclass(frozen=True, kw_only=True)
class TokenizerClass:
    """One class.

    `special` are its special tokens by key; those in `spaced` take the spaces before them. A
    sequence has the token `before`, then text, then `after`; between two texts `after` stands
    `between` times. `typed`: the second text has token type 1. `from_words`: a `vocab.txt` is
    enough. `extra` are further special tokens where settings name none.
    """

    special: Mapping[str, str]
    rebuild: Rebuild
    spaced: frozenset[str] = frozenset()
    before: str = "cls_token"
    after: str = "sep_token"
    between: int = 1
    typed: bool = False
    from_words: bool = False
    extra: tuple[str, ...] = ()


def _word_pieces(
    plain: Tokenizer, settings: Mapping[str, Any], special: Mapping[str, str]
) -> Tokenizer:
    """BERT's rules on the vocabulary of a file."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    if not isinstance(plain.model, models.WordPiece):
        raise ValueError("expected the word pieces of a BERT")
    vocabulary = plain.get_vocab(with_added_tokens=False)
    built = Tokenizer(models.WordPiece(vocabulary, unk_token=special["unk_token"]))
    built.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
        strip_accents=settings.get("strip_accents"),
        lowercase=settings.get("do_lower_case", True),
    )
    built.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return built


def _byte_level(
    plain: Tokenizer, settings: Mapping[str, Any], special: Mapping[str, str]
) -> Tokenizer:
    """RoBERTa's byte-level BPE on the vocabulary and merges of a file."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    model = json.loads(plain.to_str())["model"]
    if model["type"] != "BPE":
        raise ValueError("expected the byte-level BPE of a RoBERTa")
    merges = [tuple(merge) if isinstance(merge, list) else tuple(merge.split(" "))
              for merge in model["merges"]]  # fmt: skip
    built = Tokenizer(models.BPE(
        vocab=model["vocab"], merges=merges, dropout=None, continuing_subword_prefix="",
        end_of_word_suffix="", fuse_unk=False,
    ))  # fmt: skip
    spaced = bool(settings.get("add_prefix_space", False))
    built.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=spaced)
    return built


def _xlm_roberta(
    plain: Tokenizer, settings: Mapping[str, Any], special: Mapping[str, str]
) -> Tokenizer:
    """XLM-R's Unigram, whose fourth word is the unknown one."""
    return _sentence_pieces(plain, settings, lambda words: 3)


def _camembert(
    plain: Tokenizer, settings: Mapping[str, Any], special: Mapping[str, str]
) -> Tokenizer:
    """CamemBERT's Unigram, which has the unknown word by its name."""
    name = special["unk_token"]
    return _sentence_pieces(
        plain, settings, lambda words: words.index(name) if name in words else 0
    )


def _sentence_pieces(
    plain: Tokenizer, settings: Mapping[str, Any], unknown: Callable[[list[str]], int]
) -> Tokenizer:
    """Unigram on the vocabulary and character map of a file."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    whole = json.loads(plain.to_str())
    model = whole["model"]
    if model["type"] != "Unigram":
        raise ValueError("expected the Unigram of an XLM-R")
    words = [(word, score) for word, score in model["vocab"]]
    place = unknown([word for word, _ in words])
    built = Tokenizer(models.Unigram(words, unk_id=place, byte_fallback=False))
    if (charsmap := _charsmap(whole.get("normalizer"))) is not None:
        built.normalizer = normalizers.Precompiled(charsmap)
    scheme = "always" if settings.get("add_prefix_space", True) else "never"
    built.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(),
        pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme=scheme),
    ])  # fmt: skip
    return built


def _charsmap(rule: Mapping[str, Any] | None) -> bytes | None:
    """The map of characters in a normalizer."""
    import base64

    for part in (rule or {}).get("normalizers", [rule or {}]):
        if part.get("type") == "Precompiled" and part.get("precompiled_charsmap"):
            return base64.b64decode(part["precompiled_charsmap"])
    return None


_BERT = TokenizerClass(special=BERT_SPECIAL, rebuild=_word_pieces, typed=True, from_words=True)
CLASSES: dict[str, TokenizerClass] = {
    "BertTokenizer": _BERT,
    "DistilBertTokenizer": _BERT,
    "ElectraTokenizer": _BERT,
    "RobertaTokenizer": TokenizerClass(special=ROBERTA_SPECIAL, rebuild=_byte_level, between=2),
    "XLMRobertaTokenizer": TokenizerClass(
        special=ROBERTA_SPECIAL, rebuild=_xlm_roberta, before="bos_token", after="eos_token",
        between=2,
    ),
    "CamembertTokenizer": TokenizerClass(
        special=ROBERTA_SPECIAL, rebuild=_camembert, spaced=frozenset({"mask_token"}),
        before="bos_token", after="eos_token", between=2,
        extra=("<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"),
    ),
    "MPNetTokenizer": TokenizerClass(
        special=ROBERTA_SPECIAL | {"unk_token": "[UNK]"}, rebuild=_word_pieces,
        spaced=frozenset({"mask_token"}), between=2,
    ),
}  # fmt: skip
"""The classes by their name, without `Fast`."""
