"""Writes a requirements file with hashes for the wheels of one folder: `python tools/lock.py FOLDER > FILE`.

For an installation without a network (docs/deploy.md): pip then takes these very files and refuses any other.
"""

import hashlib
import sys
from pathlib import Path

from packaging.utils import InvalidWheelFilename, parse_wheel_filename


def lock(folder: Path) -> str:
    """One line a library, by name: its version and the SHA-256 of every wheel of it in the folder.

    Raises:
        SystemExit: The folder holds no wheel, a file that is none, or two versions of a library.
    """
    wheels: dict[str, tuple[str, list[str]]] = {}
    for path in sorted(path for path in folder.iterdir() if path.name != "requirements.lock"):
        try:
            name, version, _, _ = parse_wheel_filename(path.name)
        except InvalidWheelFilename:
            raise SystemExit(f"{path.name} is no wheel: make the folder with pip wheel") from None
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        known, hashes = wheels.setdefault(name, (str(version), []))
        if known != str(version):
            raise SystemExit(f"{name} is there in versions {known} and {version}: begin with an empty folder")
        hashes.append(sha256)
    if not wheels:
        raise SystemExit("no wheel in this folder")
    lines = [
        f"{name}=={version} " + " ".join(f"--hash=sha256:{sha256}" for sha256 in hashes)
        for name, (version, hashes) in sorted(wheels.items())
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the file for the folder of the command line."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: python tools/lock.py FOLDER")
    sys.stdout.write(lock(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
