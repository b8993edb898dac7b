"""Each family equals its model in `transformers`: tokens, outputs, gradients, export."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoTokenizer

import mtl
from mtl.config.settings import config_from
from mtl.errors import ConfigError, EncoderError
from mtl.inference.export import export
from mtl.inference.trained import load_trained
from mtl.model.encoder import Encoder, relative_buckets
from mtl.model.families import FAMILIES
from mtl.model.packing import pack
from mtl.model.pairing import PAIRERS
from mtl.model.pretrained import Pretrained
from mtl.model.weights import to_published
from mtl.runs.folder import RunFolder
from tests.family_tools import FAMILY_NAMES, PAIRS, TEXTS, packed, reference, write_family


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("families")
    return {family: write_family(root / family, family) for family in FAMILY_NAMES}


@pytest.mark.parametrize("pairs", [False, True], ids=["single", "pairs"])
@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_tokens_and_outputs_equal_the_reference(
    folders: dict[str, Path], family: str, pairs: bool
) -> None:
    pretrained = Pretrained("x", folders[family])
    pretrained.check_weights()
    encoder, batch = pretrained.load(), packed(pretrained, pairs=pairs)
    model, inputs = reference(folders[family], pairs=pairs)
    mask = inputs["attention_mask"].bool()
    assert batch.ids.tolist() == inputs["input_ids"][mask].tolist()
    with torch.no_grad():
        expected = model(**inputs)
        hidden = encoder.run(encoder.embed(batch), batch)
        assert (hidden - expected.last_hidden_state[mask]).abs().max() <= 1e-5
        first = encoder(batch, pooling="cls")
        assert (first - expected.last_hidden_state[:, 0]).abs().max() <= 1e-5
        if FAMILIES[family].pooler:
            assert (encoder(batch) - expected.pooler_output).abs().max() <= 1e-5
        half = encoder.run(encoder.embed(batch), batch, stop=2)
        assert (encoder.vectors(half, batch, start=2, pooling="cls") - first).abs().max() <= 1e-6


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_gradients_equal_the_reference(folders: dict[str, Path], family: str, pooling: Any) -> None:
    pretrained = Pretrained("x", folders[family])
    encoder, batch = pretrained.load(), packed(pretrained, pairs=True)
    model, inputs = reference(folders[family], pairs=True)
    weights = torch.randn(len(PAIRS), 32, generator=torch.Generator().manual_seed(1))
    (encoder(batch, pooling=pooling) * weights).sum().backward()
    states = model(**inputs).last_hidden_state
    mask = inputs["attention_mask"][:, :, None]
    wanted = states[:, 0] if pooling == "cls" else (states * mask).sum(1) / mask.sum(1)
    (wanted * weights).sum().backward()
    own = model.named_parameters()
    theirs = {name: value.grad for name, value in own if value.grad is not None}
    found = gradients(encoder)
    for name, gradient in theirs.items():
        if name.startswith("pooler"):
            continue
        far = 1e-5 * max(1.0, float(gradient.abs().max()))
        assert (found[name] - gradient).abs().max() <= far, name


def gradients(encoder: Encoder) -> dict[str, Tensor]:
    """The gradients under published names; zero where there is none, as of an unused pooler."""
    own = {
        name: torch.zeros_like(value) if value.grad is None else value.grad.to_dense()
        for name, value in encoder.named_parameters()
    }
    return to_published(own, encoder.config)


def test_relative_positions_are_those_of_the_reference() -> None:
    from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

    places = torch.arange(200)
    expected = MPNetEncoder.relative_position_bucket(places[None, :] - places[:, None])
    assert relative_buckets(200, 32).tolist() == expected.tolist()


def test_a_shared_bias_gets_no_gradient_above_frozen_layers(folders: dict[str, Path]) -> None:
    encoder = Pretrained("x", folders["mpnet"]).load()
    batch = packed(Pretrained("x", folders["mpnet"]), pairs=False)
    with torch.no_grad():
        states = encoder.run(encoder.embed(batch), batch, stop=1)
    encoder.vectors(states, batch, start=1, pooling="cls").sum().backward()
    assert encoder.relative is not None
    assert encoder.relative.weight.grad is None
    assert any(value is encoder.relative.weight for value in encoder.lower_parameters(1))
    assert not any(value is encoder.relative.weight for value in encoder.lower_parameters(0))


SHORT = ["train.max_steps=3", "train.batch_size=4", "train.lr=1e-3", "max_length=32", "limit=20"]


@pytest.mark.parametrize("family", [name for name in FAMILY_NAMES if name != "bert"])
def test_a_run_trains_freezes_and_exports(
    folders: dict[str, Path], family: str, tiny_data: Path, tmp_path: Path
) -> None:
    words = [f"encoder={folders[family]}", f"data={tiny_data}", "pairing=concat", *SHORT]
    config = config_from([*words, "pooling=mean", "freeze.unfrozen=1", "tasks=quora,sts"])
    record = mtl.train(config, runs=tmp_path / "runs")
    assert record.status == "done" and record.frozen_unchanged
    assert record.encoder is not None and record.encoder.family == family
    run = load_trained(RunFolder(tmp_path / "runs" / record.run_id), "cpu")
    export(run, tmp_path / "model")
    texts = TEXTS[:3]
    encode = run.tokenizer.encode
    ids = [np.array(encode(text, add_special_tokens=False).ids, dtype=np.int32) for text in texts]
    with torch.no_grad():
        own = run.evaluator.model.encoder(
            pack(*run.evaluator.pairer.singles(ids)), pooling="mean"
        ).numpy()
    from sentence_transformers import SentenceTransformer

    loaded = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    assert np.abs(loaded.encode(texts) - own).max() <= 1e-5
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    pair = tokenizer(*map(list, zip(*PAIRS, strict=True)))["input_ids"]
    first, second = (
        [np.array(encode(text, add_special_tokens=False).ids, dtype=np.int32) for text in side]
        for side in zip(*PAIRS, strict=True)
    )
    laid, _ = PAIRERS["concat"](run.pretrained.layout, 512).pairs(first, second)
    assert pair == [row.tolist() for row in laid]


def test_a_missing_pooler_is_drawn_from_the_seed_and_the_record_says_so(
    folders: dict[str, Path], tiny_data: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "masked"
    shutil.copytree(folders["roberta"], folder)
    tensors = load_file(folder / "model.safetensors")
    kept = {f"roberta.{key}": value for key, value in tensors.items() if "pooler" not in key}
    save_file(kept | {"lm_head.bias": torch.zeros(3)}, folder / "model.safetensors")
    words = [f"encoder={folder}", f"data={tiny_data}", "tasks=sst", *SHORT]
    records = [
        mtl.train(config_from([*words, f"seed={seed}"]), runs=tmp_path / name)
        for seed, name in ((0, "one"), (0, "two"), (1, "one"))
    ]
    assert [record.encoder and record.encoder.drawn for record in records] == [["pooler"]] * 3
    assert records[0].metrics == records[1].metrics
    pretrained = Pretrained("x", folder)
    drawn = [pretrained.load(seed).pooler for seed in (0, 1)]
    assert drawn[0] is not None and drawn[1] is not None
    assert not torch.equal(drawn[0].weight, drawn[1].weight)
    assert 0.15 < float(drawn[0].weight.detach().std()) < 0.25  # initializer_range is 0.2


@pytest.mark.parametrize("gone", ["weight", "bias"])
def test_half_a_pooler_is_an_error(folders: dict[str, Path], tmp_path: Path, gone: str) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "half"
    shutil.copytree(folders["roberta"], folder)
    tensors = load_file(folder / "model.safetensors")
    del tensors[f"pooler.dense.{gone}"]
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(EncoderError, match=rf"the tensor pooler.dense.{gone} is missing"):
        Pretrained("x", folder).check_weights()


def test_a_tensor_under_two_names_is_an_error(folders: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "twice"
    shutil.copytree(folders["bert"], folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["embeddings.LayerNorm.gamma"] = tensors["embeddings.LayerNorm.weight"].clone()
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(EncoderError, match="LayerNorm.gamma.* are one and the same"):
        Pretrained("x", folder).check_weights()


@pytest.mark.parametrize("family", ["xlm-roberta", "camembert"])
def test_the_unknown_word_and_further_tokens_of_sentence_pieces(
    folders: dict[str, Path], tmp_path: Path, family: str
) -> None:
    folder = tmp_path / "moved"
    shutil.copytree(folders[family], folder)
    path = folder / "tokenizer.json"
    stored = json.loads(path.read_text("utf-8"))
    words = stored["model"]["vocab"]
    words[3], words[6] = words[6], words[3]
    stored["added_tokens"] = []
    path.write_text(json.dumps(stored), "utf-8")
    (folder / "tokenizer_config.json").write_text("{}")
    theirs, ours = AutoTokenizer.from_pretrained(folder), Pretrained("x", folder).tokenizer()
    for text in [*TEXTS, "好 <unk>NOTUSED </s>NOTUSED x"]:
        expected = theirs(text, add_special_tokens=False)["input_ids"]
        assert ours.encode(text, add_special_tokens=False).ids == expected


def test_shards_and_old_names_are_the_same_weights(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "shards"
    shutil.copytree(folders["mpnet"], folder)
    tensors = load_file(folder / "model.safetensors")
    whole = Pretrained("x", folders["mpnet"]).load().state_dict()
    (folder / "model.safetensors").unlink()
    named = {
        f"mpnet.{key}".replace("LayerNorm.weight", "LayerNorm.gamma"): value
        for key, value in tensors.items()
    }
    parts = {f"model-{part}.safetensors": dict(list(named.items())[part::2]) for part in (0, 1)}
    for name, part in parts.items():
        save_file(part, folder / name)
    index = {key: name for name, part in parts.items() for key in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    pretrained = Pretrained("x", folder)
    pretrained.check_weights()
    found = pretrained.load().state_dict()
    assert all(torch.equal(found[name], value) for name, value in whole.items())
    before = pretrained.fingerprint
    save_file({key: value + 1 for key, value in parts["model-1.safetensors"].items()},
              folder / "model-1.safetensors")  # fmt: skip
    assert Pretrained("x", folder).fingerprint != before
    (folder / "model-1.safetensors").unlink()
    with pytest.raises(EncoderError, match=r"model-1\.safetensors: missing"):
        Pretrained("x", folder).check_weights()


@pytest.mark.parametrize("family", ["distilbert", "electra"])
def test_a_family_without_a_pooler_says_which_poolings_work(
    folders: dict[str, Path], tiny_data: Path, family: str
) -> None:
    config = config_from([f"encoder={folders[family]}", f"data={tiny_data}", *SHORT])
    with pytest.raises(
        ConfigError, match=rf"\({family}\) has no pooler. Use pooling=mean, cls or max"
    ):
        mtl.train(config)


def test_positions_beside_the_padding_are_no_room(
    folders: dict[str, Path], tiny_data: Path
) -> None:
    words = [f"encoder={folders['roberta']}", f"data={tiny_data}", *SHORT, "max_length=129"]
    with pytest.raises(ConfigError, match="the encoder has 128 positions"):
        mtl.train(config_from(words))
