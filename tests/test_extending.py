"""docs/extending.md keeps its word: its blocks are run from top to bottom in a copy of this tree."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GUIDE = ROOT / "docs" / "extending.md"
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINKED = ("weights", "results")  # too large to copy; new folders in them are the copy's own
LIMIT_S = 240


def section(title: str) -> list[tuple[str, str, str]]:
    """Blocks of a walk-through: language, file, content."""
    text = GUIDE.read_text(encoding="utf-8").partition(f"## {title}\n")[2].partition("\n## ")[0]
    return [(kind, file, content) for kind, file, content in BLOCK.findall(text)]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is committed, as a folder without history."""
    folder = tmp_path_factory.mktemp("tree")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        source, place = ROOT / name, folder / name
        if not source.is_file():
            continue  # deleted, not committed yet
        place.parent.mkdir(parents=True, exist_ok=True)
        if name.split("/")[0] in LINKED:
            place.symlink_to(source)
        else:
            shutil.copyfile(source, place)
    return folder


def run(tree: Path, *words: str) -> str:
    """Standard output of a command in the copy."""
    own = {"FIVEFOLD_WEIGHTS", "FIVEFOLD_DATA", "PYTHONPATH"}
    environment = {name: value for name, value in os.environ.items() if name not in own} | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        words, cwd=tree, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


def follow(tree: Path, title: str) -> dict[str, str]:
    """Do what a walk-through says; output by command."""
    told = {}
    for kind, file, content in section(title):
        if kind == "diff":
            (tree / "change.diff").write_text(content, encoding="utf-8")
            run(tree, "git", "apply", "--unidiff-zero", "change.diff")
        elif kind == "python":
            path = tree / file
            assert not path.exists(), file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        else:
            assert kind == "bash"
            for line in content.splitlines():
                program, *words = shlex.split(line)
                assert program == "python"
                told[line.removeprefix("python -m core ")] = run(tree, sys.executable, *words)
    return told


def is_clean(tree: Path, *paths: str) -> None:
    """As `make check` wants it."""
    run(tree, sys.executable, "-m", "ruff", "check", "--no-cache", *paths)


def test_a_network_is_added(tree: Path) -> None:
    told = follow(tree, "Add your own network")
    (screened,) = (output for command, output in told.items() if command.startswith("screen"))
    assert "phantom_0_0000.dcm: accepted" in screened
    assert "Simulated data only" in screened
    assert (tree / "weights" / "hip_osteoporosis" / "mobilenet_v3_small" / "manifest.json").is_file()
    is_clean(tree, "core/engine/networks", "core/tasks/hip_osteoporosis")
    assert not (ROOT / "weights" / "hip_osteoporosis" / "mobilenet_v3_small").exists()


PAGE = """
from app_pages import open_page, says, words
app = open_page("toy_disc")
assert says(app, "Above the operating point"), words(app)
assert says(app, "Disc: {answer}", answer="yes")
"""


def test_a_task_is_added(tree: Path) -> None:
    told = follow(tree, "Add a task")
    assert re.search(r"^toy_disc .*models: toy_cnn$", told["tasks"], re.MULTILINE)
    manifest = json.loads((tree / "weights" / "toy_disc" / "toy_cnn" / "manifest.json").read_text())
    figures = {metric["name"]: metric["value"] for metric in manifest["metrics"]}
    assert figures["auroc"] > 0.9  # it did learn
    is_clean(tree, "core/tasks/toy_disc", "pages/toy_disc.py")
    contract = ("tests/test_manifest.py", "tests/test_architecture.py")
    chosen = "toy_disc or task_folders or one_name or pages_are_thin or functions_are_short"
    run(tree, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *contract, "-k", chosen)
    run(tree, sys.executable, "-c", f"import sys; sys.path[:0] = ['.', 'tests']\n{PAGE}")
    assert not (ROOT / "weights" / "toy_disc").exists()
