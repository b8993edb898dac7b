"""`mtl report`: Markdown, a page and tables from records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mtl.commands.options import CONTEXT, check_not_a_file, json_option, runs_option
from mtl.commands.printing import print_json
from mtl.errors import RunError

if TYPE_CHECKING:
    from mtl.report.write import Written


@click.command(context_settings=CONTEXT)
@click.argument("name", required=False, metavar="[NAME|PATH]")
@runs_option
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("reports"),
    show_default=True,
    help="The folder of reports.",
)
@click.option(
    "--check",
    is_flag=True,
    help="Write nothing; exit with 1 if the report differs from its records.",
)
@click.option("--html", is_flag=True, help="Also write one self-contained page, NAME.html.")
@click.option("--latex", is_flag=True, help="Also write the tables for LaTeX, in NAME/tables.")
@click.option("--csv", is_flag=True, help="Also write the tables as CSV, in NAME/tables.")
@click.option(
    "--text/--no-text",
    default=None,
    help="Show sentences in example lists.  [default: only those of the built-in data]",
)
@json_option
def report(
    name: str | None,
    runs: Path,
    output: Path,
    check: bool,
    html: bool,
    latex: bool,
    csv: bool,
    text: bool | None,
    as_json: bool,
) -> None:
    """Write a report of a grid, a study or a run: verdicts, tables and figures in NAME.md.

    NAME is a grid, a study (its report is study-NAME.md), or a run's name or unique prefix. Without
    NAME, the latest grid or study. A copy of the records is kept beside the report, so --check and
    the other formats do not need the runs. --text shows sentences of your data: do not publish such
    a report.

    \b
    Example:
      mtl report quickstart --html
    """
    check_not_a_file(runs)
    check_not_a_file(output, "--output")
    if check:
        if html or latex or csv or text is not None:
            raise click.UsageError(
                "--check writes nothing; leave --html, --latex, --csv and --text out."
            )
        print_check(name, runs, output, as_json)
        return
    from mtl.report.write import Form, write_report
    from mtl.training.progress import tell

    wanted: dict[Form, bool] = {"html": html, "latex": latex, "csv": csv}
    done = write_report(
        name, runs=runs, output=output, text=text, forms=[form for form, on in wanted.items() if on]
    )
    if done.private:
        tell(
            f"{done.places.markdown} holds sentences of the data. Do not publish it, or "
            "omit them with --no-text."
        )
    print_report(done, as_json)


def print_report(done: Written, as_json: bool) -> None:
    """The verdict and the paths of the files."""
    if as_json:
        files = [str(path) for path in done.files]
        print_json({"name": done.places.name, "files": files, "results": done.report.results})
        return
    verdict = done.report.document.sections[0].blocks[0]
    click.echo(f"{done.places.name}: {getattr(verdict, 'text', '')}")
    for path in done.files:
        if path.parent == done.places.output:
            click.echo(path)
    for folder in (done.places.figures, done.places.tables):
        if count := sum(path.parent == folder for path in done.files):
            click.echo(f"{folder}: {count} files")


def print_check(name: str | None, runs: Path, output: Path, as_json: bool) -> None:
    """Exit 1 where the report is not what its records, or the runs where they are at hand, say."""
    from mtl.report.write import check_report

    checked = check_report(name, runs=runs, output=output)
    if as_json:
        print_json({"name": checked.subject.name, "stale": checked.stale})
        if checked.stale is not None:
            click.get_current_context().exit(1)
    elif checked.stale is not None:
        raise RunError(
            f"stale: {checked.stale}\n`mtl report {checked.subject.name}` writes it again."
        )
    else:
        click.echo(
            f"{checked.places.markdown} agrees with its records"
            f"{' and the runs' if checked.subject.has_runs else ''}."
        )
