"""The rules of the house that import-linter cannot say (the floors are in pyproject.toml)."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOT_OURS = {"work", "runs", "evaluations", "trainings", "curations", "shots", "build", "dist", "node_modules"}
TEXT = {
    ".py",
    ".md",
    ".toml",
    ".txt",
    ".json",
    ".csv",
    ".yml",
    ".yaml",
    ".cfg",
    ".cff",
    ".sh",
    ".po",
    ".svg",
    ".html",
    "",
}

# Room for data-free markup written by this project; everywhere else Streamlit escapes what it shows.
MARKUP = "pages/parts/markup.py"
STREAMLIT = ("st", "streamlit", "components")
TASK_FILES = {"__init__", "task", "gate", "locate", "prepare", "decode", "phantom", "data", "network", "learn"}
# Of the chest alone: its data are too many kinds for one file (readers, marks, nih), and findings drawn on real films need
# places on them (lungs, landmarks, curve) and a folder of their own (composite).
CHEST_FILES = {"readers", "marks", "nih", "lungs", "landmarks", "curve"}
TASK_FOLDERS = {"locale", "phantom", "composite", "__pycache__"}

MAX_PAGE_LINES = 59
MAX_MODULE_LINES = 350
MAX_FUNCTION_LINES = 60
# "path" or "path::function" -> why it may be longer.
LONGER: dict[str, str] = {}


def files_below(*folders: str, suffixes: set[str]) -> Iterator[Path]:
    """Files of the project; hidden folders hold caches and environments, except the two that are committed."""
    for folder in folders:
        for place, below, files in os.walk(ROOT / folder):
            at_top = Path(place) == ROOT
            below[:] = sorted(name for name in below if is_ours(name, at_top))
            yield from (Path(place, file) for file in sorted(files) if Path(file).suffix in suffixes)


def is_ours(folder: str, at_top: bool) -> bool:
    if folder in (".ci", ".streamlit"):
        return True
    return not folder.startswith(".") and folder != "__pycache__" and not (at_top and folder in NOT_OURS)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), name(path))


def imported_packages(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def task_folders() -> list[Path]:
    folders = (ROOT / "core" / "tasks").iterdir()
    return sorted(folder for folder in folders if folder.is_dir() and not folder.name.startswith(("_", ".")))


# --- sizes -----------------------------------------------------------------------------------------------------------


def test_pages_are_thin() -> None:
    pages = [*sorted((ROOT / "pages").glob("*.py")), ROOT / "app.py"]
    lines = {name(page): len(page.read_text(encoding="utf-8").splitlines()) for page in pages}
    assert {page: n for page, n in lines.items() if n > MAX_PAGE_LINES} == {}


def test_modules_are_short() -> None:
    paths = files_below("core", "pages", suffixes={".py"})
    lines = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    assert {path: n for path, n in lines.items() if n > MAX_MODULE_LINES and path not in LONGER} == {}


def test_functions_are_short() -> None:
    too_long = {}
    for path in files_below("core", "pages", suffixes={".py"}):
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                key, n = f"{name(path)}::{node.name}", function_lines(node)
                if n > MAX_FUNCTION_LINES and key not in LONGER:
                    too_long[key] = n
    assert too_long == {}


def function_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the body without the docstring."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return (node.end_lineno or node.lineno) - body[0].lineno + 1 if body else 0


# --- who imports what ------------------------------------------------------------------------------------------------


def test_only_pages_import_streamlit() -> None:
    paths = files_below("core", "tools", suffixes={".py"})
    assert [name(path) for path in paths if "streamlit" in imported_packages(parse(path))] == []


def test_app_holds_no_arrays() -> None:
    assert imported_packages(parse(ROOT / "app.py")) & {"torch", "torchvision", "numpy", "pydicom"} == set()


@pytest.mark.parametrize(
    "run",
    [
        pytest.param("import core.registry", id="registry"),
        pytest.param(
            "import runpy; sys.argv = ['core', '--help']; runpy.run_module('core', run_name='__main__')", id="help"
        ),
    ],
)
def test_starts_without_heavy_libraries(run: str) -> None:
    """Listing tasks and `python -m core --help` are instant: they load neither torch nor Streamlit."""
    program = f"""
import sys
try:
    {run}
except SystemExit as end:
    assert not end.code, end.code
loaded = {{"torch", "torchvision", "streamlit", "sklearn", "pytorch_grad_cam"}} & set(sys.modules)
sys.exit(f"loaded {{sorted(loaded)}}" if loaded else 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


# --- what pages may show ---------------------------------------------------------------------------------------------


def raw_markup(tree: ast.Module) -> Iterator[int]:
    """Lines that hand markup to the browser unescaped."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg in ("unsafe_allow_html", "unsafe_allow_javascript"):
            yield node.lineno
        if isinstance(node, ast.Attribute) and node.attr in ("html", "iframe") and root_name(node) in STREAMLIT:
            yield node.lineno


def root_name(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def test_markup_stands_in_one_file() -> None:
    paths = [*files_below("pages", suffixes={".py"}), ROOT / "app.py"]
    found = [f"{name(path)}:{line}" for path in paths if name(path) != MARKUP for line in raw_markup(parse(path))]
    assert found == []


# --- one word for one task -------------------------------------------------------------------------------------------


def test_task_folders_hold_only_known_files() -> None:
    strangers = []
    for folder in task_folders():
        names = TASK_FILES | CHEST_FILES if folder.name == "chest_lesions" else TASK_FILES
        for path in folder.iterdir():
            known = path.stem in names if path.suffix == ".py" else path.name in TASK_FOLDERS
            strangers += [] if known else [name(path)]
        strangers += [name(path) for path in folder.glob("locale/*") if path.suffix != ".po"]
    assert strangers == []


def test_a_task_has_one_name_everywhere() -> None:
    ids = {folder.name for folder in task_folders()}
    assert ids, "no task found"
    assert {task for task in ids if not (ROOT / "pages" / f"{task}.py").is_file()} == set(), "tasks without a page"
    weights = {folder.name for folder in (ROOT / "weights").iterdir() if folder.is_dir()}
    assert weights - ids == {"image_kinds"}, "weights of unknown tasks"


# --- the project speaks of itself alone ------------------------------------------------------------------------------

HOME_PATH = re.compile(r"(?<![\w.~$}])/(?:home|root|Users|work|mnt|media)/\w|[A-Z]:\\+Users\\")
REGISTRY = re.compile(r"pypi[.]org|pythonhosted[.]org|registry[.]npmjs|deb[.]debian[.]org", re.IGNORECASE)


def test_no_paths_of_a_machine() -> None:
    found = []
    for path in files_below(".", suffixes=TEXT):
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if HOME_PATH.search(line) or REGISTRY.search(line):
                found.append(f"{name(path)}:{number}")
    assert found == []
