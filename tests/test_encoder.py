"""The encoder equals `transformers.BertModel` on the same weights, in outputs and gradients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers import BertModel

from mtl.errors import EncoderError
from mtl.model.dropout import dropout
from mtl.model.encoder import Encoder, Layer
from mtl.model.find import find_encoder
from mtl.model.packing import pack
from mtl.model.pretrained import Pretrained
from mtl.model.random_tiny import write_random
from mtl.model.weights import to_published

ENCODERS = ["minilm-l6", "random-tiny"]
LENGTHS = [7, 3, 19, 12, 3, 30]


def both(name: str) -> tuple[Encoder, BertModel]:
    pretrained = find_encoder(name)
    reference = BertModel.from_pretrained(pretrained.folder, attn_implementation="eager")
    return pretrained.load(), reference.eval()


def sentences(encoder: Encoder, seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    draw = np.random.default_rng(seed)
    ids = [
        draw.integers(5, encoder.config.vocabulary, size=length).astype(np.int32)
        for length in LENGTHS
    ]
    types = [np.sort(draw.integers(0, 2, size=length)).astype(np.int32) for length in LENGTHS]
    return ids, types


def reference_outputs(
    reference: BertModel, ids: list[np.ndarray], types: list[np.ndarray]
) -> tuple[Tensor, Tensor, Tensor]:
    """Last hidden states (S, L, H), pooled (S, H) and the mask (S, L) of a padded batch."""
    longest = max(map(len, ids))
    padded, kinds, mask = (torch.zeros(len(ids), longest, dtype=torch.int64) for _ in range(3))
    for row, (one, kind) in enumerate(zip(ids, types, strict=True)):
        padded[row, : len(one)] = torch.from_numpy(one.astype(np.int64))
        kinds[row, : len(one)] = torch.from_numpy(kind.astype(np.int64))
        mask[row, : len(one)] = 1
    found = reference(input_ids=padded, token_type_ids=kinds, attention_mask=mask)
    return found.last_hidden_state, found.pooler_output, mask.bool()


@pytest.mark.parametrize("name", ENCODERS)
def test_outputs_equal_the_reference(name: str) -> None:
    encoder, reference = both(name)
    ids, types = sentences(encoder)
    batch = pack(ids, types)
    with torch.no_grad():
        hidden = encoder.run(encoder.embed(batch), batch)
        states, pooled, mask = reference_outputs(reference, ids, types)
    assert (hidden - states[mask]).abs().max() <= 1e-5
    with torch.no_grad():
        assert (encoder(batch) - pooled).abs().max() <= 1e-5


@pytest.mark.parametrize("name", ENCODERS)
def test_gradients_equal_the_reference(name: str) -> None:
    encoder, reference = both(name)
    ids, types = sentences(encoder)
    weights = torch.randn(
        len(ids), encoder.config.width, generator=torch.Generator().manual_seed(1)
    )
    (encoder(pack(ids, types)) * weights).sum().backward()
    (reference_outputs(reference, ids, types)[1] * weights).sum().backward()
    ours = to_published(
        {n: p.grad.to_dense() for n, p in encoder.named_parameters() if p.grad is not None},
        encoder.config,
    )
    theirs = {n: p.grad for n, p in reference.named_parameters() if p.grad is not None}
    assert ours.keys() == theirs.keys()
    for parameter, gradient in theirs.items():
        scale = max(1.0, float(gradient.abs().max()))
        assert (ours[parameter] - gradient).abs().max() <= 1e-5 * scale, parameter


def test_a_sequence_does_not_feel_what_it_is_packed_with() -> None:
    encoder, _ = both("random-tiny")
    ids, types = sentences(encoder)
    with torch.no_grad():
        together = encoder(pack(ids, types))
        alone = torch.cat(
            [encoder(pack([one], [kind])) for one, kind in zip(ids, types, strict=True)]
        )
    assert (together - alone).abs().max() <= 1e-6


def test_a_layer_at_first_tokens_alone_is_the_layer_there() -> None:
    """Values and gradients, in float64, so that nothing but rounding can hide."""
    encoder, _ = both("random-tiny")
    encoder.double()
    batch = pack(*sentences(encoder))
    layer = encoder.layers[-1]
    assert isinstance(layer, Layer)
    weights = torch.randn(batch.sequences, encoder.config.width, dtype=torch.float64)
    found = []
    for compute in (
        lambda h: layer(batch.fill(h), batch, 0.0)[batch.starts],
        lambda h: layer.forward_first(h, batch, 0.0),
    ):
        layer.zero_grad()
        hidden = encoder.embed(batch).detach().requires_grad_()
        rows = compute(hidden)
        (rows * weights).sum().backward()
        gradients = {
            name: p.grad.clone() for name, p in layer.named_parameters() if p.grad is not None
        }
        assert hidden.grad is not None
        found.append({"rows": rows.detach(), "hidden": hidden.grad} | gradients)
    whole, first = found
    assert whole.keys() == first.keys()
    for name, value in whole.items():
        assert (value - first[name]).abs().max() <= 1e-12, name


def test_dropout_on_attention_weights_takes_values_away_with_their_bias() -> None:
    encoder, _ = both("random-tiny")
    encoder.double()
    batch = pack(*sentences(encoder))
    layer = encoder.layers[-1]
    assert isinstance(layer, Layer)
    with torch.no_grad():
        layer.qkv.bias.normal_(generator=torch.Generator().manual_seed(0))  # as loaded it is zero
        hidden = encoder.embed(batch)
        torch.manual_seed(5)
        found = layer.forward_first(hidden, batch, 0.4)
        heads, width = layer.attention_heads, encoder.config.width
        parts = batch.pad(layer.qkv(hidden)).view(batch.sequences, batch.longest, 3, heads, -1)
        query, key, value = (parts[:, :, i].transpose(1, 2) for i in range(3))
        scores = query[:, :, :1] @ key.transpose(2, 3) / (width // heads) ** 0.5
        assert batch.mask is not None
        torch.manual_seed(5)
        weights = dropout(scores.masked_fill(~batch.mask, -torch.inf).softmax(-1).squeeze(2), 0.4)
        mixed = (weights.unsqueeze(2) @ value).reshape(batch.sequences, width)
        rows = hidden[batch.starts]
        rows = layer.attention_norm(rows + dropout(layer.attention_out(mixed), 0.4))
        rows = layer.outer_norm(
            rows + dropout(layer.outer(functional.gelu(layer.inner(rows))), 0.4)
        )
    assert (found - rows).abs().max() <= 1e-12


@pytest.mark.parametrize("how", ["cls", "mean", "max"])
def test_pooling_takes_real_tokens_only(how: str) -> None:
    encoder, reference = both("random-tiny")
    ids, types = sentences(encoder)
    batch = pack(ids, types)
    with torch.no_grad():
        found = encoder(batch, pooling=how)  # type: ignore[arg-type]
        states, _, _ = reference_outputs(reference, ids, types)
    by_hand = {
        "cls": lambda s: s[0],
        "mean": lambda s: s.mean(0),
        "max": lambda s: s.max(0).values,
    }[how]
    expected = torch.stack([by_hand(states[row, : len(one)]) for row, one in enumerate(ids)])  # type: ignore[no-untyped-call]
    assert (found - expected).abs().max() <= 1e-5


def test_dropout_is_off_unless_asked_for_and_follows_the_random_state() -> None:
    encoder, _ = both("random-tiny")
    batch = pack(*sentences(encoder))
    assert torch.equal(encoder(batch), encoder(batch))
    torch.manual_seed(3)
    first = encoder(batch, probability=0.1)
    torch.manual_seed(3)
    assert torch.equal(first, encoder(batch, probability=0.1))
    assert not torch.equal(first, encoder(batch, probability=0.1))


def test_published_names_there_and_back_are_the_same_tensors(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    folder = tmp_path / "tiny"
    write_random(folder, seed=4)
    stored = load_file(folder / "model.safetensors")
    again = to_published(
        Pretrained("x", folder).load().state_dict(), Pretrained("x", folder).encoder_config
    )
    assert again.keys() == stored.keys()
    assert all(torch.equal(again[name], stored[name]) for name in stored)


def test_an_old_checkpoint_with_prefix_gamma_and_beta_loads(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "old"
    write_random(folder, seed=4)
    new = load_file(folder / "model.safetensors")
    expected = Pretrained("x", folder).load().state_dict()
    old = {
        "bert." + name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): value
        for name, value in new.items()
    }
    save_file(old, folder / "model.safetensors")
    found = Pretrained("x", folder).load().state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_vocabulary_that_does_not_fit_the_weights_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    write_random(folder, seed=0)
    with (folder / "vocab.txt").open("a") as file:
        file.write("surplus\n")
    with pytest.raises(
        EncoderError,
        match=r"vocab.txt: token ids go up to \d+, but the weights have \d+ word embeddings",
    ):
        Pretrained("x", folder).tokenizer()


def test_encoder_folders_that_cannot_be_are_refused_with_their_remedy(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="no such folder"):
        find_encoder(str(tmp_path / "absent"))
    pickled = tmp_path / "pickled"
    write_random(pickled, seed=0)
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(EncoderError, match="pickled weights are never loaded"):
        Pretrained("x", pickled).load()
    other = tmp_path / "xlnet"
    write_random(other, seed=0)
    text = (
        (other / "config.json").read_text().replace('"model_type": "bert"', '"model_type": "xlnet"')
    )
    (other / "config.json").write_text(text)
    with pytest.raises(
        EncoderError, match="model_type: expected one of bert, roberta, .*, got 'xlnet'"
    ):
        Pretrained("x", other).load()
    smaller = tmp_path / "smaller"
    write_random(smaller, seed=0)
    text = (
        (smaller / "config.json")
        .read_text()
        .replace('"intermediate_size": 64', '"intermediate_size": 48')
    )
    (smaller / "config.json").write_text(text)
    with pytest.raises(EncoderError, match="config.json beside it says"):
        Pretrained("x", smaller).load()


def test_a_hub_name_without_a_network_is_one_clear_error() -> None:
    with pytest.raises(EncoderError, match="not available from the hub"):
        find_encoder("nobody/no-such-encoder")


def test_minilm_is_checked_against_its_published_hash(tmp_path: Path) -> None:
    damaged = tmp_path / "model"
    write_random(damaged, seed=0)
    with pytest.raises(EncoderError, match="is not the published"):
        Pretrained("minilm-l6", damaged).load()


def test_the_fingerprint_is_of_the_content_not_of_the_place(tmp_path: Path) -> None:
    for place, seed in {"one": 0, "two": 0, "three": 1}.items():
        write_random(tmp_path / place, seed=seed)
    one, two, three = (
        Pretrained(name, tmp_path / name).fingerprint for name in ("one", "two", "three")
    )
    assert one == two
    assert one != three
