"""Shared by the tests of gradient surgery: small matrices and every surgery."""

from __future__ import annotations

import numpy as np
import pytest

every_real_surgery = pytest.mark.parametrize("name", ["dominant", "pcgrad"])


def drawn() -> np.random.Generator:
    return np.random.default_rng(0)
