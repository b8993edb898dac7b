"""`mtl export`: write a run's encoder for other libraries."""

from __future__ import annotations

from pathlib import Path

import click

from mtl.commands.options import CONTEXT, check_runs_folder, runs_option


@click.command(context_settings=CONTEXT)
@click.argument("run")
@click.argument("folder", type=click.Path(path_type=Path))
@runs_option
def export(run: str, folder: Path, runs: Path) -> None:
    """Write RUN's encoder to FOLDER for transformers and sentence-transformers.

    RUN is a run's name or a unique prefix. FOLDER is made, or is empty. With sentence-transformers,
    the vector of a sentence is the one that the run's heads receive. The heads are in
    heads.safetensors.

    \b
    Example:
      mtl export 3f2a-s0 model
    """
    from mtl.inference.export import export as write
    from mtl.inference.trained import load_trained
    from mtl.runs.find import find_run

    check_runs_folder(runs)
    trained = load_trained(find_run(runs, run), "cpu")
    write(trained, folder)
    click.echo(f"{trained.folder.run_id}: {folder}")
