"""The folder that a curation writes to."""

from pathlib import Path

from core.errors import UsageError


def prepare_folder(out: Path) -> None:
    """Make the folder of a data set.

    Raises:
        UsageError: There is something in it: it may hold reviewed boxes.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        is_empty = not any(out.iterdir())
    except OSError as error:
        raise UsageError("the folder of --out cannot be made") from error
    if not is_empty:
        raise UsageError("the folder of --out is not empty, and what people reviewed there is not overwritten")
