"""`mtl ablate`: a grid of runs, from a question to verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from mtl.commands.options import (
    CONTEXT,
    json_option,
    pool_options,
    print_json,
    quiet_option,
    resumable,
    stdout,
)
from mtl.errors import ConfigError

if TYPE_CHECKING:
    from mtl.ablation.definition import Definition
    from mtl.ablation.engine import Ablation
    from mtl.ablation.results import Results
    from mtl.grid.plan import Plan, PlannedRun
    from mtl.runs.options import PoolOptions


@click.command(context_settings=CONTEXT)
@click.argument("words", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--grid", "grids", multiple=True, is_flag=False, flag_value="quickstart", metavar="[NAME|PATH|KEY=VALUE,VALUE...]",
    help="A definition by name or path, or a factor with its levels; several --grid KEY=... make a grid on the spot.  "
    "[bare: quickstart]",
)  # fmt: skip
@click.option(
    "--base",
    metavar="PRESET",
    help="What a grid made on the spot starts from.  [default: baseline]",
)
@click.option(
    "--dry-run", is_flag=True, help="Print the plan with an estimate of time, and train nothing."
)
@pool_options
@click.option("--fail-fast", is_flag=True, help="Stop at the first run that fails for good.")
@click.option(
    "--until-decided", is_flag=True, help="Add seeds to arms that are undecided, up to --max-seeds."
)
@click.option(
    "--max-seeds", type=click.IntRange(2), metavar="K", help="The most seeds an arm gets."
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
    quiet: bool,
    as_json: bool,
) -> None:
    """Run a grid and print, arm by arm, whether it helps, by how much, and how sure that is.

    A definition is a YAML file of ablations/ (here, or one that comes with mtl). KEY=VALUE words go over its settings;
    seed=0,1 chooses the seeds. The same command runs only what is missing, and goes on after any interruption.

    \b
    Example:
      mtl ablate --grid quickstart --dry-run
      mtl ablate --grid pairing=siamese,concat --grid seed=0,1,2 --base final train.epochs=1
    """
    definition = definition_of(grids, words, base)
    if dry_run:
        from mtl.ablation.engine import Grid, planned_looks
        from mtl.grid.pool import slots

        planned_looks(definition, until_decided, max_seeds)
        grid = Grid(definition, runs=options.runs, on_bad_row=options.on_bad_row)
        chosen = slots(
            options.workers, options.device, len(definition.seeds) * len(grid.design.arms)
        )
        plan = grid.plan(len(chosen))
        if as_json:
            print_json(plan_json(grid.definition, plan))
        else:
            print_plan(grid, plan)
            if until_decided:
                most = len(grid.design.arms) * (max_seeds or len(definition.seeds))
                click.echo(
                    f"Seeds are added until every arm is decided: up to {most} runs with --max-seeds {max_seeds}."
                )
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
    if as_json:
        print_json(done.results.as_json() | {"failures": dict(done.failures)})
    else:
        print_results(done)
    if any(arm.missing for arm in done.results.arms):
        click.get_current_context().exit(1)


def definition_of(grids: tuple[str, ...], words: tuple[str, ...], base: str | None) -> Definition:
    """The definition that the command line means. Raises ConfigError or a usage error."""
    from mtl.ablation.definition import find_definition, from_words, with_words

    if not grids:
        name = words[0] if words and "=" not in words[0] else "quickstart"
        raise click.UsageError(
            f"--grid is missing. Name a definition, `mtl ablate --grid {name}`, or factors with levels."
        )
    factors = [word for word in grids if "=" in word]
    named = [word for word in grids if "=" not in word]
    if named and (factors or len(named) > 1):
        raise click.UsageError(
            f"--grid {named[0]}: a definition stands alone; it cannot be joined with {factors or named[1:]}."
        )
    if factors:
        return from_words(factors, words, base or "baseline")
    if base is not None:
        raise ConfigError(
            f"--base {base}: the definition {named[0]} has a base of its own; --base is for grids on the spot."
        )
    return with_words(find_definition(named[0]), list(words))


def plan_json(definition: Definition, plan: Plan) -> dict[str, Any]:
    """The plan as plain data."""
    runs = [
        {
            "arm": run.arm,
            "seed": run.config.seed,
            "run_id": run.run_id,
            "state": run.state,
            "seconds": run.seconds,
        }
        for run in plan.runs
    ]
    return {"name": definition.name, "workers": plan.workers, "seconds": plan.seconds, "runs": runs}


def print_plan(grid: Any, plan: Plan) -> None:
    """Each arm, what differs from the baseline, the state of its runs, and what they should take."""
    from rich.table import Table

    from mtl.grid.wording import duration

    console = stdout()
    console.print(f"{grid.definition.name}: {grid.definition.question}", soft_wrap=True)
    table = Table()
    for name in ("arm", "differs from the baseline", "seeds"):
        table.add_column(name, overflow="fold")
    table.add_column("time", justify="right")
    for arm in grid.design.arms:
        own = [run for run in plan.runs if run.arm == arm.name]
        changes = ", ".join(f"{key}={setting(value)}" for key, value in arm.changes.items())
        also = f" (also {', '.join(arm.merged)})" if arm.merged else ""
        pending = [run.seconds for run in own if not run.ended]
        known = [seconds for seconds in pending if seconds is not None]
        time = (
            "done"
            if not pending
            else duration(sum(known) / len(known) * len(pending))
            if known
            else "unknown"
        )
        table.add_row(arm.name + also, changes or "-", seeds_by_state(own), time)
    console.print(table)
    left = "nothing to train"
    if plan.pending:
        several = "" if plan.workers == 1 else "s"
        eta = (
            "time unknown until one has run"
            if plan.seconds is None
            else f"about {duration(plan.seconds)}"
        )
        left = f"{len(plan.pending)} to train with {plan.workers} worker{several}, {eta}"
    console.print(f"{len(grid.design.arms)} arms, {len(plan.runs)} runs: {left}.")


def seeds_by_state(runs: Sequence[PlannedRun]) -> str:
    """`done: 0, 1; missing: 2`."""
    states: dict[str, list[str]] = {}
    for run in runs:
        states.setdefault(run.state, []).append(str(run.config.seed))
    return "; ".join(f"{state}: {', '.join(seeds)}" for state, seeds in states.items())


def setting(value: Any) -> str:
    """A value as it is written in YAML."""
    from mtl.config.assignments import level_name

    return level_name(value)


def print_results(done: Ablation) -> None:
    """The verdicts: in words, as a table, and what stands beside them."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from mtl.ablation.sentences import best_of, comparison, sentence

    results, console = done.results, stdout(140)
    console.print(f"{results.name}: {results.question}", soft_wrap=True)
    for arm in results.arms:
        if arm.name != results.baseline:
            console.print(f"  {sentence(arm, results)}", soft_wrap=True)
    columns, rows = comparison(results)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for number, name in enumerate(columns):
        table.add_column(
            name, overflow="fold", justify="right" if 0 < number < len(columns) - 2 else "left"
        )
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print(
        f"dev scores, mean ± sd over seeds; differences from {results.baseline} are paired by seed and example, "
        f"Holm-corrected over arms; margin {results.margin:g}.",
        soft_wrap=True,
    )
    print_effects(results)
    for arm in results.arms:
        for seed, reason in arm.missing.items():
            console.print(f"missing: {arm.name}, seed {seed}: {reason}", soft_wrap=True)
    if line := best_of(results):
        console.print(line, soft_wrap=True)
    if all(len(arm.seeds) + len(arm.missing) == 1 for arm in results.arms):
        console.print("One seed gets no verdict: add seeds, as in seed=0,1,2.")
    trained = (
        f"{done.trained} runs trained" if done.trained else "nothing to train: all runs were there"
    )
    console.print(f"{trained}; results in {done.folder}", soft_wrap=True)


def print_effects(results: Results) -> None:
    """Main effects, interactions and shares of a factor design, and what became of claims."""
    from rich.table import Table

    from mtl.ablation.sentences import span

    console = stdout()
    kinds = {
        "main effect": results.main_effects,
        "interaction": results.interactions,
        "share of the gain": results.shapley,
    }
    if any(kinds.values()):
        table = Table()
        for name in ("effect", "of", f"on {results.primary} [95 %]"):
            table.add_column(name, overflow="fold")
        for kind, effects in kinds.items():
            for effect in effects:
                of = " and ".join(
                    f"{factor}={level}"
                    for factor, level in zip(effect.factors, effect.levels, strict=True)
                )
                table.add_row(kind, of, span(effect.estimate) if effect.estimate else effect.reason)
        console.print(table)
    if results.claims:
        table = Table()
        for name in ("claim", "found", "judged"):
            table.add_column(name, overflow="fold")
        for one in results.claims:
            table.add_row(one.claim.claim, claim_found(one), one.judged)
        console.print(table)


def claim_found(one: Any) -> str:
    """The numbers that a claim rests on."""
    from mtl.ablation.sentences import span

    if one.verdict is not None:
        return span(one.verdict.estimate) if one.verdict.estimate else one.verdict.text
    means = []
    for key, values in one.numbers.items():
        known = [value for value in values if value is not None]
        means.append(f"{key} {sum(known) / len(known):.3f}" if known else f"{key} -")
    return ", ".join(means)
