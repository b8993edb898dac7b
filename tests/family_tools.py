"""Tiny random encoders of each family, as `transformers` saves them, with a tokenizer."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from mtl.model.packing import Packed, pack
from mtl.model.pairing import PAIRERS
from mtl.model.pretrained import Pretrained

SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
         "intermediate_size": 48, "max_position_embeddings": 130,
         "initializer_range": 0.2}  # fmt: skip
TEXTS = [
    "the cat was very good",
    "A bad book!",
    "worst  film in the story with a dog on it, naïve café",
    "<s> a mask: <mask> here </s>",
    "[MASK] and [SEP]",
    "",
    "好 good",
]
PAIRS = list(zip(TEXTS, reversed(TEXTS), strict=True))
FAMILY_NAMES = ("bert", "roberta", "xlm-roberta", "camembert", "distilbert", "electra", "mpnet")


def words() -> list[str]:
    letters = string.ascii_lowercase + string.ascii_uppercase + string.digits + "éï好,.!<>[]/:"
    return [*letters, *(f"##{letter}" for letter in letters), "the", "cat", "good", "book"]


def write_tokenizer(folder: Path, family: str) -> int:
    """A tokenizer of the family's class in a folder; the number of words."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    if family in ("bert", "distilbert", "electra"):
        vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words()]
        names = {word: place for place, word in enumerate(dict.fromkeys(vocabulary))}
        kind = (
            transformers.DistilBertTokenizer
            if family == "distilbert"
            else (transformers.BertTokenizer)
        )
        made = kind(vocab=names)
    elif family == "mpnet":
        vocabulary = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>", *words()]
        made = transformers.MPNetTokenizer(
            vocab={word: place for place, word in enumerate(dict.fromkeys(vocabulary))}
        )
    elif family == "roberta":
        trained = Tokenizer(models.BPE())
        trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trained.decoder = decoders.ByteLevel()
        trained.train_from_iterator(TEXTS * 3, trainers.BpeTrainer(
            vocab_size=400, special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
        ))  # fmt: skip
        model = json.loads(trained.to_str())["model"]
        merges = [tuple(merge) for merge in model["merges"]]
        made = transformers.RobertaTokenizer(vocab=model["vocab"], merges=merges)
    else:
        pieces = [(f"▁{word}", -2.0) for word in ("the", "cat", "good", "a")]
        pieces += [(letter, -5.0) for letter in dict.fromkeys(["▁", *words()]) if len(letter) == 1]
        if family == "camembert":
            vocabulary = [("<s>NOTUSED", 0.0), ("<pad>", 0.0), ("</s>NOTUSED", 0.0),
                          ("<unk>", 0.0), ("<unk>NOTUSED", -100.0), *pieces]  # fmt: skip
            made = transformers.CamembertTokenizer(vocab=vocabulary)
        else:
            vocabulary = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *pieces]
            made = transformers.XLMRobertaTokenizer(vocab=vocabulary)
    made.save_pretrained(folder)
    return max(made.get_vocab().values()) + 1


def write_family(folder: Path, family: str, *, seed: int = 0, **more: Any) -> Path:
    """A random model of the family in a folder, with every parameter drawn."""
    folder.mkdir(parents=True, exist_ok=True)
    size = write_tokenizer(folder, family)
    settings = {**SIZES, "vocab_size": size, "pad_token_id": 1, **more}
    if family == "distilbert":
        names = {"hidden_size": "dim", "num_hidden_layers": "n_layers",
                 "num_attention_heads": "n_heads", "intermediate_size": "hidden_dim"}  # fmt: skip
        settings = {names.get(key, key): value for key, value in settings.items()}
    if family in ("bert", "distilbert", "electra"):
        settings["pad_token_id"] = 0
    if family in ("roberta", "xlm-roberta", "camembert"):
        settings |= {"type_vocab_size": 1}
    if family == "electra":
        settings |= {"embedding_size": 24}
    config = transformers.AutoConfig.for_model(family, **settings)
    torch.manual_seed(seed)
    model = transformers.AutoModel.from_config(config)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1 and "norm" not in name.lower():
            torch.nn.init.normal_(parameter, std=0.1)  # published biases are not zero
    model.save_pretrained(folder)
    return folder


def packed(pretrained: Pretrained, *, pairs: bool) -> Packed:
    """The texts, or pairs of them, as a run lays them out."""
    tokenizer = pretrained.tokenizer()

    def ids(text: str) -> np.ndarray:
        return np.array(tokenizer.encode(text, add_special_tokens=False).ids, dtype=np.int32)

    pairer = PAIRERS["concat" if pairs else "siamese"](pretrained.layout, 128)
    if pairs:
        return pack(*pairer.pairs([ids(a) for a, _ in PAIRS], [ids(b) for _, b in PAIRS]))
    return pack(*pairer.singles([ids(text) for text in TEXTS]))


def reference(folder: Path, *, pairs: bool) -> tuple[Any, Any]:
    """The model of `transformers`, and the same texts as its tokenizer gives them."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    texts = [list(part) for part in zip(*PAIRS, strict=True)] if pairs else [TEXTS]
    return model, tokenizer(*texts, padding=True, return_tensors="pt")
