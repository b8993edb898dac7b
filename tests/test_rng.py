"""Random streams depend only on seed and name, so the draws of one part never move another."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys

import numpy as np
import torch

from mtl.rng import numpy_stream, stream_seed, torch_stream

NAMES = [
    f"{part}/{task}/{epoch}"
    for part in ("order", "head")
    for task in ("sst", "quora")
    for epoch in range(50)
]


def test_a_stream_seed_is_63_bits_of_the_digest_of_seed_and_name() -> None:
    # Golden: another value here would give every run other examples and other first weights.
    digest = hashlib.sha256(b"0/order/sst/0").digest()
    assert stream_seed(0, "order/sst/0") == int.from_bytes(digest[:8], "little") // 2


def test_seeds_fit_what_torch_and_numpy_take() -> None:
    assert all(0 <= stream_seed(seed, name) < 2**63 for seed in (0, 1, 2**32 - 1) for name in NAMES)


def test_different_seeds_and_names_give_different_streams() -> None:
    seeds = {stream_seed(seed, name) for seed in range(20) for name in NAMES}
    assert len(seeds) == 20 * len(NAMES)


def test_a_stream_gives_the_same_numbers_every_time_it_is_opened() -> None:
    assert np.array_equal(numpy_stream(3, "a").random(5), numpy_stream(3, "a").random(5))
    assert torch.equal(
        torch.rand(5, generator=torch_stream(3, "a")), torch.rand(5, generator=torch_stream(3, "a"))
    )
    assert not np.array_equal(numpy_stream(3, "a").random(5), numpy_stream(3, "b").random(5))
    assert not np.array_equal(numpy_stream(3, "a").random(5), numpy_stream(4, "a").random(5))


def test_what_one_stream_draws_does_not_move_another() -> None:
    alone = numpy_stream(0, "b").random(5)
    first, second = numpy_stream(0, "a"), numpy_stream(0, "b")
    first.random(1000)
    assert np.array_equal(second.random(5), alone)


def seed_globals() -> None:
    random.seed(7)
    np.random.seed(7)
    torch.manual_seed(7)


def draw_globals() -> tuple[float, float, float]:
    return random.random(), np.random.random(), torch.rand(1).item()


def test_streams_neither_read_nor_move_the_global_generators() -> None:
    wanted = numpy_stream(1, "a").random(3), torch.rand(3, generator=torch_stream(1, "a"))
    seed_globals()
    before = draw_globals()
    seed_globals()
    found = numpy_stream(1, "a").random(3), torch.rand(3, generator=torch_stream(1, "a"))
    assert draw_globals() == before
    assert np.array_equal(found[0], wanted[0])
    assert torch.equal(found[1], wanted[1])


def test_a_stream_is_the_same_in_another_process() -> None:
    # `hash()` of a text differs between processes; a digest does not.
    program = (
        "from mtl.rng import numpy_stream; "
        "print(numpy_stream(5, 'order/sts/2').integers(0, 10**9, 3).tolist())"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == str(numpy_stream(5, "order/sts/2").integers(0, 10**9, 3).tolist())
