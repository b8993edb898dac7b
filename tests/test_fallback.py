"""Encoders through `transformers`: outputs, gradients, freezing, resuming and export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor
from transformers import AutoModel

import mtl
from mtl.config.settings import config_from
from mtl.errors import ConfigError, EncoderError
from mtl.inference.export import export
from mtl.inference.trained import load_trained
from mtl.model.fallback.encoder import FallbackEncoder
from mtl.model.fallback.pretrained import FallbackPretrained
from mtl.model.find import find_encoder
from mtl.model.packing import pack
from mtl.model.pretrained import Pretrained
from mtl.runs.folder import RunFolder
from mtl.runs.prepare import prepare
from tests.family_tools import (
    SIZES,
    TEXTS,
    packed,
    reference,
    write_family,
    write_tokenizer,
)
from tests.training_tools import config as tiny_config
from tests.training_tools import content, trained_with_stops

KINDS = ("modernbert", "deberta-v2", "bert", "roberta")


def write_kind(folder: Path, kind: str) -> Path:
    """A random model that is computed by the fallback."""
    if kind in ("bert", "roberta"):
        return write_family(folder, kind)
    folder.mkdir(parents=True)
    size = write_tokenizer(folder, "bert")
    more: dict[str, Any] = {"pad_token_id": 0}
    if kind == "modernbert":
        more |= {"global_attn_every_n_layers": 2, "local_attention": 8, "cls_token_id": 2,
                 "sep_token_id": 3, "bos_token_id": None, "eos_token_id": None}  # fmt: skip
    else:
        more |= {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "type_vocab_size": 0,
                 "position_biased_input": False, "share_att_key": True,
                 "norm_rel_ebd": "layer_norm", "position_buckets": 8,
                 "max_relative_positions": -1}  # fmt: skip
    config = transformers.AutoConfig.for_model(kind, **SIZES, vocab_size=size, **more)
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("kinds")
    return {kind: write_kind(root / kind, kind) for kind in KINDS}


def states_of(model: Any, inputs: Any) -> Tensor:
    kept = {key: value for key, value in inputs.items() if key != "token_type_ids"}
    given = inputs if getattr(model.config, "type_vocab_size", 0) else kept
    found: Tensor = model(**given).last_hidden_state
    return found


@pytest.mark.parametrize("pairs", [False, True], ids=["single", "pairs"])
@pytest.mark.parametrize("kind", KINDS)
def test_tokens_outputs_and_gradients_equal_the_reference(
    folders: dict[str, Path], kind: str, pairs: bool
) -> None:
    pretrained = FallbackPretrained("x", folders[kind])
    encoder, batch = pretrained.load(), packed(pretrained, pairs=pairs)
    model, inputs = reference(folders[kind], pairs=pairs)
    mask = inputs["attention_mask"].bool()
    assert batch.ids.tolist() == inputs["input_ids"][mask].tolist()
    expected = states_of(model, inputs)[mask]
    hidden = encoder.run(encoder.embed(batch), batch)
    assert (hidden - expected).abs().max() <= 1e-5
    weights = torch.randn(hidden.shape, generator=torch.Generator().manual_seed(1))
    (hidden * weights).sum().backward()
    (expected * weights).sum().backward()
    own = dict(encoder.model.named_parameters())
    for name, value in model.named_parameters():
        if value.grad is not None:
            found = own[name].grad
            far = 1e-5 * max(1.0, float(value.grad.abs().max()))
            assert found is not None and (found - value.grad).abs().max() <= far, name
    trained = {name for name, value in own.items() if value.requires_grad}
    assert trained == {n for n, value in model.named_parameters() if value.grad is not None}


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_it_equals_the_packed_encoder(folders: dict[str, Path], kind: str) -> None:
    slow, fast = FallbackPretrained("x", folders[kind]), Pretrained("x", folders[kind])
    batch = packed(fast, pairs=True)
    assert slow.layout == fast.layout
    with torch.no_grad():
        for pooling in ("cls", "mean", "max"):
            found = slow.load()(batch, pooling=pooling)
            assert (found - fast.load()(batch, pooling=pooling)).abs().max() <= 1e-5
    assert slow.fingerprint != fast.fingerprint


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_at_any_layer_is_the_whole(folders: dict[str, Path], kind: str) -> None:
    pretrained = FallbackPretrained("x", folders[kind])
    encoder, batch = pretrained.load(), packed(pretrained, pairs=False)
    whole = encoder(batch, pooling="mean").detach()
    for stop in range(encoder.config.layers + 1):
        encoder.zero_grad()
        with torch.no_grad():
            below = encoder.run(encoder.embed(batch), batch, stop=stop)
        found = encoder.vectors(below, batch, start=stop, pooling="mean")
        if stop < encoder.config.layers:
            assert (found - whole).abs().max() <= 1e-6
            found.sum().backward()
            lower = encoder.lower_parameters(stop)
            assert lower and all(value.grad is None for value in lower)
            assert any(value.grad is not None for value in encoder.parameters())


@pytest.mark.parametrize("kind", ["modernbert", "deberta-v2"])
def test_dropout_is_that_of_the_call(folders: dict[str, Path], kind: str) -> None:
    pretrained = FallbackPretrained("x", folders[kind])
    encoder, batch = pretrained.load(), packed(pretrained, pairs=False)
    with torch.no_grad():
        calm = [encoder(batch, pooling="cls") for _ in range(2)]
        drawn = [encoder(batch, probability=0.5, pooling="cls") for _ in range(2)]
        again = encoder(batch, pooling="cls")
    assert torch.equal(calm[0], calm[1]) and torch.equal(calm[0], again)
    assert not torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], calm[0])


SHORT = ["train.max_steps=4", "train.batch_size=4", "train.lr=1e-3", "max_length=32", "limit=20",
         "pooling=mean"]  # fmt: skip


@pytest.mark.parametrize("kind", ["modernbert", "deberta-v2"])
def test_a_run_with_smart_and_freezing_repeats_and_exports(
    folders: dict[str, Path], kind: str, tiny_data: Path, tmp_path: Path
) -> None:
    words = [f"encoder={folders[kind]}", f"data={tiny_data}", "pairing=concat", *SHORT]
    config = config_from([*words, "freeze.unfrozen=1", "smart.lambda_s=1"])
    records = [mtl.train(config, runs=tmp_path / name) for name in ("one", "two")]
    record = records[0]
    assert record.status == "done" and record.frozen_unchanged
    assert record.encoder is not None
    assert (record.encoder.path, record.encoder.family) == ("transformers", kind)
    assert record.encoder.transformers == transformers.__version__
    assert content(tmp_path / "one" / record.run_id) == content(tmp_path / "two" / record.run_id)
    run = load_trained(RunFolder(tmp_path / "one" / record.run_id), "cpu")
    export(run, tmp_path / "model")
    from sentence_transformers import SentenceTransformer

    texts = TEXTS[:3]
    loaded = SentenceTransformer(str(tmp_path / "model"), device="cpu").encode(texts)
    encode = run.tokenizer.encode
    ids = [np.array(encode(text, add_special_tokens=False).ids, dtype=np.int32) for text in texts]
    with torch.no_grad():
        batch = pack(*run.evaluator.pairer.singles(ids))
        own = run.evaluator.model.encoder(batch, pooling="mean").numpy()
    assert np.abs(loaded - own).max() <= 1e-5


def test_a_stopped_run_goes_on_with_the_same_bits(
    folders: dict[str, Path], tiny: dict[str, Any], tmp_path: Path
) -> None:
    chosen = tiny_config(
        tiny, encoder=str(folders["modernbert"]), pooling="mean", train__max_steps=6
    )
    whole = mtl.train(chosen, runs=tmp_path / "whole")
    record, stops = trained_with_stops(chosen, tmp_path / "stopped", every=4)
    assert stops == 2
    assert content(tmp_path / "stopped" / record.run_id) == content(
        tmp_path / "whole" / whole.run_id
    )


def test_what_is_no_encoder_or_cannot_be_is_one_error(
    folders: dict[str, Path], tmp_path: Path, tiny_data: Path
) -> None:
    def changed(name: str, **settings: Any) -> Pretrained:
        folder = write_kind(tmp_path / name, "modernbert")
        plain = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(plain | settings))
        return find_encoder(str(folder))

    for name, settings, said in (
        ("remote", {"auto_map": {"AutoModel": "x.Y"}}, "code of a model's own is never run"),
        ("unknown", {"model_type": "no-such-model"}, "transformers cannot read it"),
        ("decoder", {"model_type": "t5"}, "has a decoder; an encoder is needed"),
    ):
        with pytest.raises(EncoderError, match=said):
            changed(name, **settings).check_weights()
    config = config_from([f"encoder={folders['modernbert']}", f"data={tiny_data}"])
    with pytest.raises(ConfigError, match=r"\(modernbert\) has no pooler"):
        prepare(config)
    (tmp_path / "remote" / "model.safetensors").unlink()
    with pytest.raises(EncoderError, match=r"model\.safetensors is missing"):
        FallbackPretrained("x", tmp_path / "remote").check_weights()


def test_another_kind_of_bert_goes_through_the_fallback(tmp_path: Path) -> None:
    folder = write_family(tmp_path / "relu", "bert", hidden_act="relu")
    found = find_encoder(str(folder))
    assert isinstance(found, FallbackPretrained)
    assert isinstance(found.load(), FallbackEncoder)
