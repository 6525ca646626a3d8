"""Folders of pictures with boxes that somebody uploaded, or tries out with phantoms, kept while they are reviewed."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.services.jobs import Job, Jobs

BOXES = "boxes"
KEEP_HOURS = 7 * 24.0
Source = Literal["upload", "phantoms"]


@dataclass(frozen=True)
class Plan:
    """Where the pictures come from.

    Attributes:
        source: Phantoms say so wherever they are shown.
        created: Seconds since 1970.
    """

    source: Source
    created: float


@dataclass(frozen=True)
class BoxFolder(Job):
    """One folder on disk.

    Attributes:
        plan: Where its pictures come from.
    """

    plan: Plan

    @property
    def boxes(self) -> Path:
        """Pictures and XML files."""
        return self.folder / BOXES


class BoxFolders:
    """All such folders of this installation.

    Args:
        root: Where they lie; made when the first one is.
        keep_hours: After which one that nobody used is deleted.
    """

    def __init__(self, root: Path, keep_hours: float = KEEP_HOURS) -> None:
        self._jobs = Jobs(root, keep_hours)

    def create(self, source: Source, files: Mapping[str, bytes]) -> BoxFolder:
        """A new folder.

        Args:
            source: Where the pictures come from.
            files: By name; names were checked by the caller.

        Raises:
            OSError: The disk is full, or the folder cannot be written to; nothing is left behind.
        """
        plan = Plan(source, time.time())
        made = BoxFolder(self._jobs.create(plan, {}), plan)
        try:
            made.boxes.mkdir()
            for name, content in files.items():
                (made.boxes / name).write_bytes(content)
        except BaseException:
            self.delete(made)
            raise
        return made

    def find(self, token: str) -> BoxFolder | None:
        """The folder of a token, None where there is none. It counts as used now."""
        found = self._jobs.find(token, Plan)
        return None if found is None else BoxFolder(*found)

    def delete(self, folder: BoxFolder) -> None:
        """Remove everything."""
        self._jobs.delete(folder.folder)
