"""Writes docs/libraries.md: every library that requirements.txt brings, and its licence as the installed package states it.

Run `python tools/licences.py` after every change of requirements.txt. Libraries that requirements.txt pins are listed with their
version; those that come with them with their name alone: the exact set of an installation is its file of hashes (docs/deploy.md).
"""

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS, PAPER = ROOT / "requirements.txt", ROOT / "docs" / "libraries.md"
LONGEST = 60  # letters of the field License that are still a name and not its text
COPYLEFT = re.compile(r"\bA?GPL|(?<!Lesser )General Public License|Affero", re.IGNORECASE)
# The GPU libraries of Linux' default torch are NVIDIA's own and left out of the list: README, "CPU only", does without them.
GPU = re.compile(r"nvidia-|cuda-|triton$")
HEAD = """# Libraries and their licences

Written by `python tools/licences.py` from the packages as installed; a test compares it with `requirements.txt`. No library
of the core is under the GPL or AGPL. Those for tests only (`requirements-dev.txt`) are no part of an installation and not listed.
Wheels may carry further libraries inside (linear algebra, codecs, compiler runtimes): their terms stand in the wheels' own files.
On Linux the default torch brings GPU libraries under NVIDIA's own terms; an installation for CPU alone has none of them.
Exact versions of one installation, with hashes: the file that `tools/lock.py` writes, see [deploy.md](deploy.md).

| library | version | licence | comes with |
|---|---|---|---|
"""


def pinned() -> dict[str, str]:
    """Versions that requirements.txt pins, by name."""
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    pairs = [line.partition("==") for line in lines if "==" in line and not line.startswith("#")]
    return {canonicalize_name(name): version.strip() for name, _, version in pairs}


def brought() -> dict[str, str]:
    """Every installed library that the pinned ones bring, with the first library that asks for it; pinned ones with "".

    Raises:
        SystemExit: A pinned library is not installed.
    """
    found: dict[str, str] = dict.fromkeys(pinned(), "")
    waiting = list(found)
    while waiting:
        asking = waiting.pop(0)
        for name in _needs(asking):
            if name not in found and _is_installed(name):
                found[name] = asking
                waiting.append(name)
    return found


def _needs(name: str) -> Iterator[str]:
    """Names of what an installed library needs here, without its extras."""
    try:
        lines = distribution(name).requires or []
    except PackageNotFoundError:
        raise SystemExit(f"{name} is not installed: install requirements.txt first") from None
    for line in lines:
        need = Requirement(line)
        if need.marker is None or need.marker.evaluate({"extra": ""}):
            yield canonicalize_name(need.name)


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def licence(name: str) -> str:
    """The licence that an installed library states; "" where it states none."""
    facts = distribution(name).metadata
    if expressions := facts.get_all("License-Expression"):
        return str(expressions[0])
    classified = [
        line.rpartition(" :: ")[2] for line in facts.get_all("Classifier") or [] if line.startswith("License ::")
    ]
    field = " ".join((facts.get_all("License") or [""])[0].split())
    if classified and classified != ["OSI Approved"]:
        return ", ".join(classified)
    return field if len(field) <= LONGEST else field[:LONGEST].rstrip() + " …"


def listed() -> dict[str, str]:
    """Licence of every library of the paper, by name."""
    return {name: licence(name) for name in brought() if not GPU.match(name)}


def paper() -> str:
    """The whole text of docs/libraries.md."""
    versions, askers = pinned(), brought()
    rows = [
        f"| {name} | {versions.get(name, '')} | {words} | {askers[name]} |"
        for name, words in sorted(listed().items(), key=lambda entry: (entry[0] not in versions, entry[0]))
    ]
    return HEAD + "\n".join(rows) + "\n"


def main() -> None:
    """Write the paper, or say which library keeps it from being written."""
    licences = listed()
    if unknown := [name for name, words in licences.items() if not words]:
        raise SystemExit(f"no licence stated by: {', '.join(unknown)}")
    if copyleft := [name for name, words in licences.items() if COPYLEFT.search(words)]:
        raise SystemExit(f"under the GPL or AGPL: {', '.join(copyleft)}")
    PAPER.write_text(paper(), encoding="utf-8")
    print(f"{len(licences)} libraries in {PAPER.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
