"""Shared by the tests of configs: refusals, and files on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtl.config.settings import config_from
from mtl.errors import ConfigError


def refusal(*words: object) -> str:
    """The message that the words are refused with."""
    with pytest.raises(ConfigError) as error:
        config_from([str(word) for word in words])
    assert error.value.exit_code == 2
    return str(error.value)


def put(folder: Path, text: str, name: str = "run.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path
