"""The `mtl` command: runs a subcommand, and turns errors into messages and exit codes.

Subcommands are imported when they are called, so `mtl --help` loads neither torch nor pandas. Exit
codes: 0 done; 1 some work failed; 2 usage, config or data error; 130 and 143 interrupted.
"""

from __future__ import annotations

import errno
import os
from importlib import import_module

import click

from mtl.errors import MtlError, escaped, suggestion

COMMANDS = {
    "train": ("mtl.commands.train", "Train one run and print its dev scores."),
    "ablate": ("mtl.commands.ablate", "Run a grid of arms and seeds, and judge which arms help."),
    "study": ("mtl.commands.study", "Search the toggles with Optuna, and ablate the best trial."),
    "report": ("mtl.commands.report", "Turn records into tables, figures and verdicts."),
    "runs": ("mtl.commands.runs", "List, show, compare and verify runs."),
    "test": ("mtl.commands.test", "Score chosen runs on the test split."),
    "predict": ("mtl.commands.predict", "Label new text with a run's model."),
    "submit": ("mtl.commands.submit", "Write the course's prediction files, and their zip."),
    "export": (
        "mtl.commands.export",
        "Write a run's encoder for transformers and sentence-transformers.",
    ),
    "tasks": ("mtl.commands.tasks", "List, show, check and begin tasks."),
    "data": ("mtl.commands.data", "Check data for problems and leaks, or download it."),
    "config": ("mtl.commands.config", "Print a resolved config, or the JSON Schema for editors."),
    "sync": ("mtl.commands.sync", "Send offline runs to Weights & Biases."),
    "doctor": ("mtl.commands.doctor", "Check this machine: versions, device, encoder, disk, W&B."),
}
"""Name -> (module with a command of that name, its line in the help)."""


class LazyCommands(click.Group):
    """A group that imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(COMMANDS[name][0]), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            raise click.UsageError(
                f"no command {args[0]!r}.{suggestion(args[0], COMMANDS)} "
                f"Commands: {', '.join(COMMANDS)}.",
                ctx,
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        from mtl.commands.streams import prepare_streams

        prepare_streams()
        try:
            return super().invoke(ctx)
        except MtlError as error:
            message, code = f"Error: {error}", error.exit_code
        except BrokenPipeError:
            raise
        except OSError as error:
            # Writes name their file (`mtl.files.named`); a full disk without a name is a stream.
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO)
            stream = "standard output: " if full else ""
            place = f"{error.filename}: " if error.filename else stream
            message, code = f"Error: {place}{error.strerror or error or type(error).__name__}.", 1
        except KeyboardInterrupt:
            message, code = "Interrupted.", 130
        from mtl.training.progress import tell

        tell(escaped(message, keep="\n\t"))  # a message may quote names of files and keys
        ctx.exit(code)


@click.command(
    cls=LazyCommands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Try it: mtl train final data=sample train.epochs=1",
)
@click.version_option(package_name="mtl-ablate", prog_name="mtl")
def main() -> None:
    """Find out which training methods help a multi-task BERT encoder, by how much, at what cost,
    and how sure that is.

    Every method is a toggle: mtl train final pairing=concat freeze.unfrozen=2
    """
    # OpenMP threads spin before they sleep. Beside other work on the same cores the default makes
    # a step many times slower. This value costs nothing on an idle machine. It counts only if it
    # is set before torch loads.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")


if __name__ == "__main__":
    main()
