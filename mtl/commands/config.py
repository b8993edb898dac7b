"""`mtl config`: print a resolved config."""

from __future__ import annotations

import click

from mtl.commands.options import CONTEXT, json_option
from mtl.commands.printing import print_json


@click.command(context_settings=CONTEXT)
@click.argument("words", nargs=-1, metavar="[PRESET] [FILE.yaml] [KEY=VALUE]...")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of a config, for editors.")
@json_option
def config(words: tuple[str, ...], schema: bool, as_json: bool) -> None:
    """Print the config that `mtl train` would use, with `auto` and `same` written out.

    Neither data nor encoder are read, so a wrong folder is not seen here.

    \b
    Example:
      mtl config concat train.lr=3e-5
    """
    from mtl.config.schema import RunConfig
    from mtl.documents.yaml_file import dump_yaml
    from mtl.methods.toggles import typed_config

    if schema:
        print_json(RunConfig.model_json_schema())
        return
    plain = typed_config(words).resolved().model_dump(mode="json")
    if as_json:
        print_json(plain)
    else:
        click.echo(dump_yaml(plain), nl=False)
