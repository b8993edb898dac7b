"""The packed encoder against the fallback through `transformers`, on layers of RoBERTa's size.

Both have the same random weights and batches: forward and backward of all layers on sentences as
long as the data's, joined in pairs. Medians of steps, in turn.

    python benchmarks/fallback.py --steps 5
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import transformers

from mtl import config_from
from mtl.model.any_encoder import AnyEncoder
from mtl.model.device import keep_memory, processor
from mtl.model.fallback.encoder import FallbackEncoder
from mtl.model.linear import arrange
from mtl.model.packing import Packed, pack
from mtl.model.pretrained import Pretrained
from mtl.runs.prepare import prepare

VOCABULARY = 5000
SEQUENCES = 32


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="sample", help="sample, or a folder of course files")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--steps", type=int, default=5)
    options = parser.parse_args()
    keep_memory()
    with tempfile.TemporaryDirectory() as folder:
        encoders = both(Path(folder), options.layers)
    batches = make_batches(options.data, options.steps + 1)
    seconds: dict[str, list[float]] = {name: [] for name in encoders}
    for number, batch in enumerate(batches):
        for name, encoder in encoders.items():
            spent = step(encoder, batch)
            if number:  # the first warms up
                seconds[name].append(spent)
    tokens = statistics.median(batch.tokens for batch in batches[1:])
    rates = {name: tokens / statistics.median(times) for name, times in seconds.items()}
    print(f"{processor()}; {options.layers} layers of width 768, {SEQUENCES} pairs a batch")
    for name, rate in rates.items():
        print(f"{name:14} {rate:7.0f} tokens/s")
    print(f"ratio {rates['packed'] / rates['transformers']:.2f}")


def both(folder: Path, layers: int) -> dict[str, AnyEncoder]:
    """The two encoders, with equal weights."""
    config = transformers.RobertaConfig(
        vocab_size=VOCABULARY, num_hidden_layers=layers, type_vocab_size=1,
        max_position_embeddings=514,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.RobertaModel(config, add_pooling_layer=False)
    model.save_pretrained(folder)
    pretrained = Pretrained("roberta", folder)
    packed = pretrained.load()
    arrange(packed)
    padding = int(config.pad_token_id or 1)
    slow = FallbackEncoder(model, pretrained.encoder_config, padding)
    return {"packed": packed, "transformers": slow}


def make_batches(data: str, count: int) -> list[Packed]:
    """Joined pairs as long as those of quora in the data, of random words."""
    prepared = prepare(config_from([f"data={data}", "tasks=quora", "pairing=concat"]))
    rows = prepared.train["quora"]
    assert rows.second is not None
    draw = np.random.default_rng(0)
    batches = []
    for _ in range(count):
        places = draw.integers(0, len(rows), SEQUENCES)
        pairs = zip(rows.first[places], rows.second[places], strict=True)
        lengths = [sum(len(rows.table.sentence(one)) for one in pair) + 4 for pair in pairs]
        batches.append(pack([draw.integers(5, VOCABULARY, length) for length in lengths]))
    return batches


def step(encoder: AnyEncoder, batch: Packed) -> float:
    """The seconds of a forward and a backward, with dropout."""
    encoder.zero_grad()
    began = time.perf_counter()
    encoder(batch, probability=0.1, pooling="mean").sum().backward()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
