"""The README keeps its word: every command in it exists and every link leads somewhere."""

import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = ("README.md", "CONTRIBUTING.md")
BLOCK = re.compile(r"^```(?:bash|powershell)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@cache
def read(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def shown_commands() -> list[list[str]]:
    """Command lines of all fenced shell blocks, comments removed, split into words."""
    blocks = [block for document in DOCUMENTS for block in BLOCK.findall(read(document))]
    lines = [line.replace("\\", "/") for block in blocks for line in block.splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def core_commands() -> list[list[str]]:
    """What follows `python -m core` wherever a document shows it."""
    return [words[3:] for words in shown_commands() if words[1:3] == ["-m", "core"]]


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_documents_show_commands() -> None:
    assert [words[:2] for words in shown_commands()][:2] == [["make", "run"], ["make", "test"]]
    assert {words[0] for words in core_commands()} >= {"screen", "train", "phantom", "weights", "tasks", "selfcheck"}


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    shown = {words[words.index("make") + 1] for words in shown_commands() if "make" in words}
    assert shown <= targets


@pytest.mark.parametrize("command", sorted({words[0] for words in core_commands()}))
def test_core_commands_exist(command: str) -> None:
    done = run("-m", "core", command, "--help")
    assert done.returncode == 0, done.stderr
    assert command in done.stdout


def test_core_options_exist() -> None:
    for words in core_commands():
        shown = {word for word in words if word.startswith("--")}
        known = set(re.findall(r"--[a-z][a-z-]*", run("-m", "core", words[0], "--help").stdout))
        assert shown <= known, words


def test_tasks_exist() -> None:
    tasks = {path.name for path in (ROOT / "core" / "tasks").iterdir() if (path / "task.py").is_file()}
    shown = {word for words in core_commands() for word in words[1:2] if re.fullmatch(r"[a-z]+(_[a-z]+)+", word)}
    assert shown <= tasks


def test_scripts_and_requirement_files_exist() -> None:
    names = {word for words in shown_commands() for word in words if re.fullmatch(r"[\w/.-]+\.(py|txt|sh)", word)}
    assert {name for name in names if not (ROOT / name).is_file()} == set()


def test_pinned_pair_is_the_one_in_requirements() -> None:
    pinned = set(read("requirements.txt").splitlines())
    shown = {word for words in shown_commands() for word in words if "==" in word}
    assert shown
    assert shown <= pinned


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", read(document))
    local = [link for link in links if not link.startswith(("http:", "https:"))]
    assert [link for link in local if not (ROOT / link).exists()] == []


def test_make_help_names_every_target() -> None:
    done = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    targets = re.search(r"^\.PHONY:(.*)$", read("Makefile"), re.MULTILINE)
    assert targets
    assert all(f"make {target} " in done.stdout for target in targets[1].split())
