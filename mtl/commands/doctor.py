"""`mtl doctor`: check this machine."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import click

from mtl.commands.options import CONTEXT, json_option, runs_option
from mtl.commands.printing import print_json
from mtl.errors import MtlError
from mtl.locks import exclusive

Check = tuple[str, bool, str]
"""(name, whether it works, details)."""


@click.command(context_settings=CONTEXT)
@click.option(
    "--encoder",
    "name",
    default="minilm-l6",
    show_default=True,
    help="The encoder to check: a name, or a folder.",
)
@runs_option
@json_option
def doctor(name: str, runs: Path, as_json: bool) -> None:
    """Check this machine: versions, device, encoder, folders, disk, W&B.

    Of the encoder it says how it would be computed: by the packed encoder, or through transformers,
    which is slower. The exit code is 1 if a check fails.

    \b
    Example:
      mtl doctor --encoder path/to/encoder
    """
    checks = [*versions(), device(), encoder(name), *folders(runs), tracking(), *extras()]
    if as_json:
        print_json([{"check": name, "ok": ok, "found": found} for name, ok, found in checks])
    else:
        for name, ok, found in checks:
            click.echo(f"{'ok ' if ok else 'BAD'}  {name}: {found}")
    if not all(ok for _, ok, _ in checks):
        click.get_current_context().exit(1)


def versions() -> list[Check]:
    """Versions of Python and of the packages that results depend on."""
    import platform

    from mtl.runs.environment import PACKAGES, version

    found = [("python", True, platform.python_version())]
    for package in PACKAGES:
        installed = version(package)
        found.append(
            (package, installed is not None, installed or f"not installed: pip install {package}")
        )
    return found


def device() -> Check:
    """The device that a run would use."""
    import torch

    from mtl.model.device import choose_device, processor
    from mtl.model.linear import by_onednn

    chosen = choose_device(None)
    if chosen.type == "cuda":
        memory = torch.cuda.get_device_properties(chosen).total_memory / 1e9
        return "device", True, f"{torch.cuda.get_device_name(chosen)}, {memory:.0f} GB"
    products = "oneDNN" if by_onednn() else "torch"
    threads = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads for torch"
    return "device", True, f"cpu: {processor()}, {threads}, matrix products by {products}"


def encoder(name: str) -> Check:
    """An encoder: its path, weights and tokenizer, and its fingerprint."""
    from mtl.model.find import find_encoder

    def look() -> str:
        pretrained = find_encoder(name)
        pretrained.check_weights()
        pretrained.tokenizer()
        published = "weights as published, " if name == "minilm-l6" else ""
        sizes = pretrained.encoder_config
        return (
            f"{pretrained.path} ({pretrained.family.name}), {sizes.layers} layers of width "
            f"{sizes.width}, {published}fingerprint {pretrained.fingerprint}"
        )

    return _run_check(f"encoder {name}", look)


def folders(runs: Path) -> list[Check]:
    """Whether the folders of runs and caches can be written, and their free space."""
    from mtl.cache import cache_folder

    found = []
    for name, path in (("runs", runs), ("cache", cache_folder())):

        def look(path: Path = path) -> str:
            there = path.absolute()
            while not there.exists():
                there = there.parent
            with (
                tempfile.TemporaryDirectory(dir=there) as folder,
                exclusive(Path(folder) / "lock"),
            ):
                pass
            return f"{path} can be written, {shutil.disk_usage(there).free / 1e9:.1f} GB free"

        found.append(_run_check(f"{name} folder", look))
    return found


def tracking() -> Check:
    """The W&B mode of a run, and what decided it."""
    from mtl.tracking.mode import mode_and_reason

    def _wandb_mode() -> str:
        mode, reason = mode_and_reason()
        return f"{mode}, by {reason} (--wandb changes it)"

    return _run_check("W&B", _wandb_mode)


def extras() -> list[Check]:
    """Optional packages. A missing one is no failure."""
    from mtl.runs.environment import version

    packages = {"datasets": ("data on the hub", "hub"),
                "transformers": ("other encoders", "transformers")}  # fmt: skip
    return [
        (
            f"{package} ({use})",
            True,
            version(package) or f"not installed; pip install 'mtl-ablate[{extra}]' if you need it",
        )
        for package, (use, extra) in packages.items()
    ]


def _run_check(name: str, look: Callable[[], str]) -> Check:
    try:
        return name, True, look()
    except (MtlError, OSError) as error:
        return name, False, str(error)
