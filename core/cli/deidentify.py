"""Copy DICOM images without what names their patients: new UIDs, a pseudonym as id, pixels written anew.

The profile of PS3.15 Annex E is applied in every item; private attributes, overlays, text and dates go. Files of one call keep
their relations: equal UIDs become equal new ones. The pseudonym is a keyed hash of the patient id under FIVEFOLD_PSEUDONYM_KEY.
A copy is named by the hash of its content.

A file is refused where text in its pixels is not excluded. What else the pixels show stays: look at the copies before they leave
the hospital.
"""

import argparse
import hashlib
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

from core.errors import FileError, UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("source", type=Path, metavar="FILE|DIR", help="a file, or a folder whose files are all copied")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the copies; empty before")


def run(options: argparse.Namespace) -> int:
    """Print one line a refused file and the counts; exit code 1 when one was refused."""
    from core.io.reader import shared_reader

    files = sorted(_files(options.source))
    if not files:
        raise UsageError("no file to copy")
    if options.out.exists() and (not options.out.is_dir() or any(options.out.iterdir())):
        raise UsageError("--out must be a new or an empty folder")
    options.out.mkdir(parents=True, exist_ok=True)
    salt = secrets.token_hex(32)
    n_copied = 0
    for path in files:
        try:
            copy = shared_reader().deidentify(_content(path), salt)
        except FileError as error:
            print(f"{path}: {error.code}: {error.message.what} {error.got}", file=sys.stderr)
            continue
        (options.out / f"{hashlib.sha256(copy).hexdigest()[:32]}.dcm").write_bytes(copy)
        n_copied += 1
    print(f"{n_copied} of {len(files)} files copied, {len(files) - n_copied} refused")
    return 0 if n_copied == len(files) else 1


def _files(source: Path) -> Iterator[Path]:
    if source.is_dir():
        yield from (path for path in source.rglob("*") if path.is_file() and not path.name.startswith("."))
    else:
        yield source


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FileError("E_NOT_IMAGE", f"the file cannot be read: {type(error).__name__}") from error
