"""Whether runs go to Weights & Biases: the option, `WANDB_MODE`, or whether there is an API key."""

from __future__ import annotations

import configparser
import contextlib
import netrc
import os
from collections.abc import Mapping
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

from mtl.errors import ConfigError
from mtl.tracking.outcome import WandbMode

MODES: tuple[WandbMode, ...] = get_args(WandbMode)
OLD_MODES: dict[str, WandbMode] = {"dryrun": "offline", "run": "online"}
"""W&B's older names."""
PUBLIC_SERVER = "https://api.wandb.ai"


def resolve_mode(choice: WandbMode | None, environ: Mapping[str, str] = os.environ) -> WandbMode:
    """The choice; else `WANDB_MODE`; else online with an API key, and offline without.

    Raises ConfigError where `WANDB_MODE` is not a mode.
    """
    if choice is not None:
        return choice
    named = environ.get("WANDB_MODE")
    if not named:
        return "online" if has_api_key(environ) else "offline"
    modes: dict[str, WandbMode] = {mode: mode for mode in MODES} | OLD_MODES
    if named not in modes:
        raise ConfigError(
            f"WANDB_MODE={named!r} is not a mode. Use one of {', '.join(MODES)}, or unset it."
        )
    return modes[named]


def has_api_key(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether `WANDB_API_KEY` or a netrc file has a key for the W&B server."""
    if environ.get("WANDB_API_KEY"):
        return True
    home = Path(environ.get("HOME") or Path.home())
    machine = urlsplit(_server(environ, home)).netloc
    files = [home / ".netrc", home / "_netrc"]
    if environ.get("NETRC"):
        files = [Path(environ["NETRC"]).expanduser()]
    for file in files:
        with contextlib.suppress(OSError, UnicodeDecodeError, netrc.NetrcParseError):
            if netrc.netrc(str(file)).authenticators(machine):
                return True
    return False


def _server(environ: Mapping[str, str], home: Path) -> str:
    """The W&B server: `WANDB_BASE_URL`, or that of `wandb login --host`, or the public one."""
    if url := environ.get("WANDB_BASE_URL"):
        return url
    folder = Path(environ.get("WANDB_CONFIG_DIR") or home / ".config" / "wandb").expanduser()
    settings = configparser.ConfigParser(interpolation=None)
    with contextlib.suppress(OSError, UnicodeDecodeError, configparser.Error):
        settings.read(folder / "settings", encoding="utf-8")
    return settings.get("default", "base_url", fallback=PUBLIC_SERVER)
