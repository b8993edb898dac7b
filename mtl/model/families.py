"""What differs between the families of encoders that the packed encoder computes.

Each is a post-norm transformer as BERT: embeddings, layers, perhaps a pooler. A family says where
`config.json` keeps its sizes, how its weights are called, and what its embeddings and attention
have. An encoder of another family is computed through `transformers` (`mtl.model.fallback`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

VOCABULARY, POSITIONS, TYPES, WIDTH, LAYERS, HEADS, INNER = (
    10**7, 10**6, 10**4, 10**5, 1000, 10**4, 10**6
)  # fmt: skip
"""The largest sizes that a published encoder could have."""
SIZES: Mapping[str, tuple[str, int]] = {
    "vocabulary": ("vocab_size", VOCABULARY),
    "positions": ("max_position_embeddings", POSITIONS),
    "types": ("type_vocab_size", TYPES),
    "width": ("hidden_size", WIDTH),
    "layers": ("num_hidden_layers", LAYERS),
    "attention_heads": ("num_attention_heads", HEADS),
    "inner": ("intermediate_size", INNER),
}
"""Field -> its key in BERT's `config.json` and the largest value."""
_NO_TYPES = {name: size for name, size in SIZES.items() if name != "types"}
_EMBEDDINGS = {
    "words.weight": "embeddings.word_embeddings.weight",
    "positions.weight": "embeddings.position_embeddings.weight",
    "types.weight": "embeddings.token_type_embeddings.weight",
    "embedding_norm": "embeddings.LayerNorm",
}
_LAYER = {
    "attention_out": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "inner": "intermediate.dense",
    "outer": "output.dense",
    "outer_norm": "output.LayerNorm",
}
_QKV = ("attention.self.query", "attention.self.key", "attention.self.value")
_BERT_SETTINGS = {"hidden_act": "gelu", "position_embedding_type": "absolute"}


@dataclass(frozen=True, kw_only=True)
class Family:
    """One family.

    `model` is its class in `transformers`, `prefix` begins the names of weights in a whole model's
    checkpoint. `settings` is what `config.json` must say where it says anything. `sizes` maps our
    fields to its keys. `embeddings` and `layer` map our parameters to the published ones, `qkv`
    names the three products that are one here, `at` is the place of a layer.

    `offset`: positions count from the padding token's id plus 1, and a padding token in the text
    does not count. `project`: the embeddings may be narrower than the layers. `buckets`: the number
    of relative positions whose bias all layers share. `pooler`: the family has one.
    """

    name: str
    model: str
    prefix: str
    settings: Mapping[str, Any]
    sizes: Mapping[str, tuple[str, int]]
    epsilon: str | None = "layer_norm_eps"
    embeddings: Mapping[str, str]
    layer: Mapping[str, str]
    qkv: tuple[str, str, str] = _QKV
    at: str = "encoder.layer"
    offset: bool = False
    project: bool = False
    buckets: int = 0
    pooler: bool = True
    tokenizer: str

    @property
    def types(self) -> bool:
        """Whether the embeddings have token types."""
        return "types" in self.sizes


BERT = Family(
    name="bert", model="BertModel", prefix="bert.", settings=_BERT_SETTINGS, sizes=SIZES,
    embeddings=_EMBEDDINGS, layer=_LAYER, tokenizer="BertTokenizer",
)  # fmt: skip


def _roberta(name: str, model: str, tokenizer: str) -> Family:
    """A relative of RoBERTa: BERT whose positions count from the padding token."""
    return replace(
        BERT, name=name, model=model, prefix="roberta.", offset=True, tokenizer=tokenizer
    )


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        BERT,
        _roberta("roberta", "RobertaModel", "RobertaTokenizer"),
        _roberta("xlm-roberta", "XLMRobertaModel", "XLMRobertaTokenizer"),
        _roberta("camembert", "CamembertModel", "CamembertTokenizer"),
        Family(
            name="distilbert", model="DistilBertModel", prefix="distilbert.",
            settings={"activation": "gelu"},
            sizes={
                "vocabulary": ("vocab_size", VOCABULARY),
                "positions": ("max_position_embeddings", POSITIONS),
                "width": ("dim", WIDTH),
                "layers": ("n_layers", LAYERS),
                "attention_heads": ("n_heads", HEADS),
                "inner": ("hidden_dim", INNER),
            },
            epsilon=None,
            embeddings={name: _EMBEDDINGS[name] for name in _EMBEDDINGS if "types" not in name},
            layer={
                "attention_out": "attention.out_lin",
                "attention_norm": "sa_layer_norm",
                "inner": "ffn.lin1",
                "outer": "ffn.lin2",
                "outer_norm": "output_layer_norm",
            },
            qkv=("attention.q_lin", "attention.k_lin", "attention.v_lin"),
            at="transformer.layer", pooler=False, tokenizer="DistilBertTokenizer",
        ),
        Family(
            name="electra", model="ElectraModel", prefix="electra.", settings=_BERT_SETTINGS,
            sizes=SIZES, embeddings=_EMBEDDINGS, layer=_LAYER, project=True, pooler=False,
            tokenizer="BertTokenizer",
        ),
        Family(
            name="mpnet", model="MPNetModel", prefix="mpnet.", settings={"hidden_act": "gelu"},
            sizes=_NO_TYPES,
            embeddings={name: _EMBEDDINGS[name] for name in _EMBEDDINGS if "types" not in name},
            layer=_LAYER | {
                "attention_out": "attention.attn.o",
                "attention_norm": "attention.LayerNorm",
            },
            qkv=("attention.attn.q", "attention.attn.k", "attention.attn.v"),
            offset=True, buckets=32, tokenizer="MPNetTokenizer",
        ),
    )
}  # fmt: skip
"""The families by the `model_type` of `config.json`."""
