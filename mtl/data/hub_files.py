"""The files of a hub repository: downloaded, or read from a mirror, as columns of Python values."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any

from mtl.cache import cache_folder
from mtl.errors import DataError, suggestion
from mtl.tasks.task import HubSource

_LOADERS = {".jsonl": "json", ".jsonl.gz": "json", ".parquet": "parquet"}
"""File ending -> the loader of `datasets` that reads it."""


def local_files(source: HubSource, part: str, mirror: Path | None) -> list[Path]:
    """The files of one split: downloaded, or all that the mirror has, in any format."""
    expected = Path(source.files[part])
    if mirror is None:
        return [_download(source, source.files[part])]
    folder = mirror / source.repository / expected.parent
    stem = expected.name.split(".")[0].split("-")[0]
    files = sorted(path for path in folder.glob(f"{stem}*") if _loader(path) and path.is_file())
    if not files:
        raise DataError(
            f"{folder}: the mirror has no {expected.name} (nor {stem}*.jsonl, {stem}*.jsonl.gz "
            f"or {stem}*.parquet). "
            f"Copy it from the hub's dataset {source.repository}."
        )
    if len({_loader(path) for path in files}) > 1:
        raise DataError(
            f"{folder}: {', '.join(path.name for path in files)} are of two formats. Keep those "
            "of one."
        )
    return files


def _loader(path: Path) -> str | None:
    return next((loader for ending, loader in _LOADERS.items() if path.name.endswith(ending)), None)


def _missing_package(error: ImportError) -> DataError:
    return DataError(
        f"The hub's data needs the package {error.name!r}, which is not installed. "
        "Install it: pip install 'mtl-ablate[hub]', or use data=sample or a folder of course files."
    )


def _download(source: HubSource, name: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError as error:
        raise _missing_package(error) from error

    # HfHubHTTPError derives from the error class of the HTTP library, which depends on the version.
    failures: tuple[type[BaseException], ...] = (OSError, ValueError, *HfHubHTTPError.__bases__)
    cache = cache_folder() / "huggingface"
    try:
        return Path(
            hf_hub_download(
                source.repository,
                name,
                repo_type="dataset",
                revision=source.revision,
                cache_dir=str(cache),
            )
        )
    except failures as error:
        reason = shorten(str(error), 300, placeholder=" ...").rstrip(".")
        raise DataError(
            f"Cannot download {name} of the hub's dataset {source.repository}: {reason}. Without "
            "a network, copy the "
            f"dataset's files to FOLDER/{source.repository} and use --mirror FOLDER or "
            "MTL_HUB_MIRROR=FOLDER; "
            "or use data=sample."
        ) from error


def read_columns(source: HubSource, files: Sequence[Path]) -> dict[str, list[Any]]:
    """The needed columns of one split, by their names in the repository."""
    try:
        import datasets
        import pyarrow  # type: ignore[import-untyped]
    except ImportError as error:
        raise _missing_package(error) from error

    names = ", ".join(str(path) for path in files)
    quiet = not sys.stderr.isatty() and not datasets.are_progress_bars_disabled()
    if quiet:
        datasets.disable_progress_bars()
    scratch = cache_folder() / "datasets"
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        # The copy that `datasets` makes is not needed after this.
        with tempfile.TemporaryDirectory(dir=scratch, ignore_cleanup_errors=True) as cache:
            table = datasets.load_dataset(
                str(_loader(files[0])),
                data_files={"part": [str(path) for path in files]},
                split="part",
                cache_dir=cache,
            )
            needed = [*source.columns.values()] + ([source.index] if source.index else [])
            for column in needed:
                if column not in table.column_names:
                    came = ", ".join(map(repr, table.column_names))
                    near = suggestion(column, table.column_names)
                    raise DataError(
                        f"{names}: column {column!r}: expected, the file has only {came}.{near}"
                    )
            columns: dict[str, list[Any]] = table.select_columns(needed).to_dict()
            return columns
    except (
        datasets.exceptions.DatasetsError,
        pyarrow.ArrowException,
        OSError,
        ValueError,
        StopIteration,
    ) as error:
        cause = error.__cause__ or error
        reason = shorten(str(cause), 300, placeholder=" ...").rstrip(".") or "it holds no rows"
        raise DataError(
            f"{names}: cannot read it: {reason}. Is the copy complete? Fetch it again."
        ) from error
    finally:
        if quiet:
            datasets.enable_progress_bars()
