"""The papers for a hospital: every hazard has tests that exist, every library its licence, every link its end."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tools import licences

ROOT = Path(__file__).resolve().parents[1]
RISK = ROOT / "docs" / "risk.md"
PAPERS = sorted((ROOT / "docs").glob("*.md"))


def hazards() -> dict[str, list[str]]:
    """Cells of every row of the tables of hazards, by id."""
    rows = [line.strip("|").split(" | ") for line in RISK.read_text().splitlines() if re.match(r"\| H\d\d \|", line)]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}


@cache
def names_in(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name[:5] == "test_")


def test_hazards_are_numbered_and_complete() -> None:
    found = hazards()
    assert len(found) >= 25
    assert list(found) == [f"H{number:02d}" for number in range(1, len(found) + 1)]
    assert {hazard for hazard, cells in found.items() if len(cells) != 5 or not all(cells)} == set()


@pytest.mark.parametrize("hazard", hazards())
def test_every_test_of_a_hazard_exists(hazard: str) -> None:
    named = re.findall(r"`(tests/\w+\.py)::(\w+)`", hazards()[hazard][-1])
    assert named
    assert len(named) == hazards()[hazard][-1].count("`") // 2
    assert [f"{file}::{name}" for file, name in named if name not in names_in(file)] == []


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.stem)
def test_links_of_the_papers_lead_somewhere(paper: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", paper.read_text(encoding="utf-8"))
    local = [link for link in links if not link.startswith(("http:", "https:"))]
    assert [link for link in local if not (paper.parent / link).exists()] == []


def test_libraries_are_those_of_the_requirements() -> None:
    written = licences.PAPER.read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in written.splitlines() if line[:2] == "| "][
        1:
    ]
    assert {name: version for name, version, *_ in rows if version} == licences.pinned()
    assert {name for name, *_ in rows} >= set(licences.listed()), "run python tools/licences.py"
    assert all(words for _, _, words, _ in rows)


def test_no_library_is_under_the_gpl() -> None:
    assert {name: words for name, words in licences.listed().items() if licences.COPYLEFT.search(words)} == {}
    for words in (
        "GPL-3.0-or-later",
        "AGPL-3.0",
        "GNU General Public License v2 (GPLv2)",
        "GNU Affero General Public License",
    ):
        assert licences.COPYLEFT.search(words)
    for words in ("LGPL-3.0", "GNU Lesser General Public License v3 (LGPLv3)", "MIT", "MPL-2.0"):
        assert not licences.COPYLEFT.search(words)
