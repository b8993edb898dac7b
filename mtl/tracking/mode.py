"""Whether and where runs go to Weights & Biases: the option, W&B's own variables and files.

W&B reads a file of the user, then `wandb/settings` of the working folder, then its variables. The
later wins. `wandb offline` and `wandb disabled` write the second. The client runs in a run's
folder, so the second is read here.
"""

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
TRUE = ("1", "true", "yes", "y", "on", "t")
PUBLIC_SERVER = "https://api.wandb.ai"


def resolve_mode(choice: WandbMode | None, environ: Mapping[str, str] = os.environ) -> WandbMode:
    """The choice; else that of W&B's variables or files; else online if there is an API key.

    Raises ConfigError where a variable or a file names no mode.
    """
    return choice or mode_and_reason(environ)[0]


def mode_and_reason(environ: Mapping[str, str] = os.environ) -> tuple[WandbMode, str]:
    """The mode without an option, and what decided it. Raises ConfigError."""
    if environ.get("WANDB_DISABLED", "").lower() in TRUE:
        return "disabled", "WANDB_DISABLED"
    named, source = environ.get("WANDB_MODE"), "WANDB_MODE"
    if not named and "mode" in (settings := wandb_settings(environ)):
        named, source = settings["mode"]
    if not named:
        return ("online", "an API key") if has_api_key(environ) else ("offline", "no API key")
    modes: dict[str, WandbMode] = {mode: mode for mode in MODES} | OLD_MODES
    if named not in modes:
        raise ConfigError(
            f"{source}={named!r} is not a mode. Use one of {', '.join(MODES)}, or remove it."
        )
    return modes[named], source


def wandb_settings(environ: Mapping[str, str] = os.environ) -> dict[str, tuple[str, str]]:
    """W&B's settings files: each key with its value and the file that it is from."""
    home = Path(environ.get("HOME") or Path.home())
    user = Path(environ.get("WANDB_CONFIG_DIR") or home / ".config" / "wandb").expanduser()
    root = Path(environ.get("WANDB_DIR") or ".").expanduser()
    folder = root / ".wandb" if (root / ".wandb").is_dir() else root / "wandb"
    found: dict[str, tuple[str, str]] = {}
    for path in (user / "settings", folder / "settings"):
        parser = configparser.ConfigParser(interpolation=None)
        with contextlib.suppress(OSError, UnicodeDecodeError, configparser.Error):
            parser.read(path, encoding="utf-8")
            found |= {key: (value, str(path)) for key, value in parser.items("default")}
    return found


def has_api_key(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether `WANDB_API_KEY` or a netrc file has a key for the W&B server."""
    if environ.get("WANDB_API_KEY"):
        return True
    home = Path(environ.get("HOME") or Path.home())
    server = environ.get("WANDB_BASE_URL") or wandb_settings(environ).get("base_url", ("", ""))[0]
    machine = urlsplit(server or PUBLIC_SERVER).netloc
    files = [home / ".netrc", home / "_netrc"]
    if environ.get("NETRC"):
        files = [Path(environ["NETRC"]).expanduser()]
    for file in files:
        with contextlib.suppress(OSError, UnicodeDecodeError, netrc.NetrcParseError):
            if netrc.netrc(str(file)).authenticators(machine):
                return True
    return False
