"""`mtl ablate`: a grid of runs, from a question to verdicts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from mtl.commands.options import (
    CONTEXT,
    json_option,
    pool_options,
    quiet_option,
    resumable,
)
from mtl.commands.printing import print_json
from mtl.errors import ConfigError

if TYPE_CHECKING:
    from mtl.ablation.definition import Definition
    from mtl.ablation.engine import Ablation
    from mtl.runs.options import PoolOptions


@click.command(context_settings=CONTEXT)
@click.argument("words", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--grid",
    "grids",
    multiple=True,
    is_flag=False,
    flag_value="quickstart",
    metavar="[NAME|PATH|KEY=VALUE,VALUE...]",
    help="A definition (its name or path), or a factor: a key and the values to compare. Repeat it "
    "for more factors; their combinations are the arms.  [without a value: quickstart]",
)
@click.option(
    "--base",
    metavar="PRESET",
    help="The preset of all arms, if --grid is a factor.  [default: baseline]",
)
@click.option(
    "--dry-run", is_flag=True, help="Print the plan and its estimated time; train nothing."
)
@pool_options
@click.option(
    "--fail-fast", is_flag=True, help="Stop at the first run that fails after its retries."
)
@click.option(
    "--until-decided", is_flag=True, help="Add seeds to undecided arms; needs --max-seeds."
)
@click.option(
    "--max-seeds",
    type=click.IntRange(2),
    metavar="K",
    help="With --until-decided: the most seeds per arm.",
)
@click.option(
    "--margin",
    "margins",
    multiple=True,
    metavar="NUMBER|SCORE=NUMBER",
    help="The largest difference that does not matter, for all scores or for one; repeat it for "
    "more scores.  [default: the definition's]",
)
@quiet_option
@json_option
def ablate(
    words: tuple[str, ...],
    grids: tuple[str, ...],
    base: str | None,
    dry_run: bool,
    options: PoolOptions,
    fail_fast: bool,
    until_decided: bool,
    max_seeds: int | None,
    margins: tuple[str, ...],
    quiet: bool,
    as_json: bool,
) -> None:
    """Run a grid and print for each arm whether it helps, by how much, and how sure that is.

    An arm is one way to train; each arm runs once per seed. A definition is a YAML file with a
    question and its arms: by name from ablations/ (of this folder, or those that ship with mtl), or
    by path. KEY=VALUE overrides a setting of every arm; seed=0,1 chooses the seeds. The same
    command trains only the missing runs, and resumes after an interruption.

    \b
    Example:
      mtl ablate --grid quickstart --dry-run
      mtl ablate --grid pairing=siamese,concat --grid seed=0,1,2 --base final train.epochs=1
    """
    definition = definition_of(grids, words, base, margins)
    if dry_run:
        _dry_run(definition, options, until_decided, max_seeds, as_json)
        return

    from mtl.api import ablate as run_grid

    with resumable():
        done = run_grid(
            definition,
            options=options,
            fail_fast=fail_fast,
            until_decided=until_decided,
            max_seeds=max_seeds,
            quiet=quiet,
        )
    finish(done, as_json)


def finish(done: Ablation, as_json: bool) -> None:
    """Print the results of a grid. Exit with 1 if a run has not been trained to its end.

    A run whose scores are undefined has been trained, and its reason is printed.
    """
    from mtl.commands.grid_output import print_results

    if as_json:
        print_json(done.results.as_json() | {"failures": dict(done.failures)})
    else:
        print_results(done)
    if any(arm.untrained for arm in done.results.arms):
        click.get_current_context().exit(1)


def definition_of(
    grids: tuple[str, ...],
    words: tuple[str, ...],
    base: str | None,
    margins: tuple[str, ...] = (),
) -> Definition:
    """The definition that the command line names. Raises ConfigError or a usage error."""
    from mtl.ablation.margins import margin_of_words

    definition = _definition_of(grids, words, base)
    return replace(definition, margin=margin_of_words(margins)) if margins else definition


def _definition_of(grids: tuple[str, ...], words: tuple[str, ...], base: str | None) -> Definition:
    from mtl.ablation.definition import find_definition, from_words, with_words

    if not grids:
        name = words[0] if words and "=" not in words[0] else "quickstart"
        raise click.UsageError(
            f"--grid is missing. Name a definition, as in `mtl ablate --grid {name}`, or factors "
            "with levels."
        )
    factors = [word for word in grids if "=" in word]
    names = [word for word in grids if "=" not in word]
    if names and (factors or len(names) > 1):
        rest = " ".join(factors or names[1:])
        raise click.UsageError(f"--grid {names[0]}: a definition cannot be joined with {rest}.")
    if factors:
        return from_words(factors, words, base or "baseline")
    if base is not None:
        raise ConfigError(
            f"--base {base}: the definition {names[0]} has a base of its own. --base is for grids "
            "of factors."
        )
    return with_words(find_definition(names[0]), list(words))


def _dry_run(
    definition: Definition,
    options: PoolOptions,
    until_decided: bool,
    max_seeds: int | None,
    as_json: bool,
) -> None:
    from mtl.ablation.engine import Grid, check_seeds
    from mtl.commands.grid_output import plan_json, print_outlooks, print_plan
    from mtl.grid.pool import slots

    check_seeds(definition, until_decided, max_seeds)
    grid = Grid(definition, runs=options.runs, on_bad_row=options.on_bad_row)
    arms = grid.design.arms
    plan = grid.plan(len(slots(options.workers, options.device, len(definition.seeds) * len(arms))))
    if as_json:
        print_json(plan_json(definition.name, plan, grid.outlooks()))
        return
    print_plan(grid, plan)
    print_outlooks(grid.outlooks())
    if until_decided and max_seeds is not None:
        most = len(arms) * max_seeds
        click.echo(
            f"Undecided arms get more seeds: up to {most} runs with --max-seeds {max_seeds}."
        )
