"""Fixtures for all tests: the folder of real data, the running app, a browser and a page in it."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlparse

import pytest
import sqlalchemy
from playwright.sync_api import Browser, Page, sync_playwright

from tools import browser as chromium
from tools import servers

ROOT = Path(__file__).resolve().parents[1]
START_LIMIT_S = 120


# --- what this installation keeps ------------------------------------------------------------------------------------


@pytest.fixture(scope="session", autouse=True)
def own_history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The history of the tests, and of every process that they start, lies in a folder of theirs."""
    before = os.environ.get("FIVEFOLD_HISTORY")
    os.environ["FIVEFOLD_HISTORY"] = f"sqlite:///{tmp_path_factory.mktemp('history') / 'history.sqlite'}"
    yield
    if before is None:
        del os.environ["FIVEFOLD_HISTORY"]
    else:
        os.environ["FIVEFOLD_HISTORY"] = before


# --- real data -------------------------------------------------------------------------------------------------------


def data_required() -> bool:
    return os.environ.get("FIVEFOLD_REQUIRE_DATA") == "1"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real images; tests that use it are skipped without one (see pytest_runtest_setup)."""
    folder = Path(os.environ["FIVEFOLD_DATA"]).resolve()
    assert folder.is_dir(), "FIVEFOLD_DATA names no folder"
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "data_dir" in fixtures:
            item.add_marker("realdata")
        if "browser" in fixtures:
            item.add_marker("browser")
        if {"postgresql", "nginx", "orthanc"} & set(fixtures):
            item.add_marker("server")
    # Last: they are the slowest, and Playwright keeps an event loop running in this thread from its first use on.
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("realdata") and not os.environ.get("FIVEFOLD_DATA"):
        pytest.skip("FIVEFOLD_DATA is not set")
    if item.get_closest_marker("browser") and chromium.is_declined():
        pytest.skip("FIVEFOLD_NO_BROWSER=1")
    if item.get_closest_marker("server") and not servers.is_required():
        if servers.is_declined():
            pytest.skip("FIVEFOLD_NO_SERVERS=1")
        fixtures = getattr(item, "fixturenames", ())
        if "nginx" in fixtures and servers.nginx() is None:
            pytest.skip("nginx is not installed")
        if "postgresql" in fixtures and servers.postgresql_folder() is None:
            pytest.skip("PostgreSQL is not installed")
        if "orthanc" in fixtures and servers.orthanc() is None:
            pytest.skip("Orthanc is not installed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """With FIVEFOLD_REQUIRE_DATA=1 a skipped real-data test has failed, whatever it was skipped for."""
    report = yield
    if report.skipped and data_required() and item.get_closest_marker("realdata") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"FIVEFOLD_REQUIRE_DATA=1, but the test was skipped: {report.longrepr[2]}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [report.keywords for report in terminalreporter.stats.get("skipped", [])]
    if n_real := sum("realdata" in keywords for keywords in skipped):
        terminalreporter.write_line(f"{n_real} real-data tests skipped: set FIVEFOLD_DATA", yellow=True)
    if n_browser := sum("browser" in keywords for keywords in skipped):
        terminalreporter.write_line(f"{n_browser} browser tests skipped: FIVEFOLD_NO_BROWSER=1", yellow=True)
    if n_server := sum("server" in keywords for keywords in skipped):
        terminalreporter.write_line(f"{n_server} tests with a server skipped: python tools/servers.py", yellow=True)


# --- servers ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """A PostgreSQL of its own in a new folder: yields the URL of its first database; ends with the tests."""
    with servers.running_postgresql() as url:
        yield url


@pytest.fixture
def postgresql(postgresql_server: str) -> str:
    """The URL of an empty database."""
    engine = sqlalchemy.create_engine(postgresql_server, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    name = f"test_{secrets.token_hex(6)}"
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    return str(engine.url.set(database=name).render_as_string(hide_password=False))


@pytest.fixture
def orthanc() -> Iterator[servers.Orthanc]:
    """An empty PACS; ends with the test."""
    with servers.running_orthanc() as server:
        yield server


# --- the running app -------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_until_healthy(url: str, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        assert server.poll() is None, f"the app ended with exit status {server.returncode}"
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"the app was not healthy within {START_LIMIT_S} s")


@contextlib.contextmanager
def running_app(folder: Path, *options: str, environment: Mapping[str, str] | None = None) -> Iterator[int]:
    """The real app on a free port, which it yields; fails when the app has logged a traceback.

    What people measure and adopt lies in `folder`, beside links to the weights.
    """
    log, weights = folder / "server.log", folder / "weights"
    shutil.copytree(ROOT / "weights", weights, copy_function=os.symlink, ignore=shutil.ignore_patterns("local.json"))
    own = {"FIVEFOLD_WEIGHTS": str(weights), "FIVEFOLD_EVALUATIONS": str(folder / "evaluations")}
    own["FIVEFOLD_REVIEWS"] = str(folder / "reviews")
    own["FIVEFOLD_BATCHES"] = str(folder / "batches")
    own["FIVEFOLD_HISTORY"] = f"sqlite:///{folder / 'history.sqlite'}"
    own["FIVEFOLD_READER_STUDIES"] = str(folder / "reader_studies")
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port), *options]
    with log.open("wb") as file:
        server = subprocess.Popen(
            [*command, "--server.headless", "true"],
            cwd=ROOT,
            env={**os.environ, **own, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        try:
            path = options[options.index("--server.baseUrlPath") + 1] if "--server.baseUrlPath" in options else ""
            wait_until_healthy(f"http://127.0.0.1:{port}/{path}".rstrip("/"), server)
            yield port
        finally:
            server.terminate()
            try:
                server.wait(timeout=20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    text = log.read_text(encoding="utf-8", errors="replace")
    assert "Traceback (most recent call last)" not in text, text[-6000:]


@pytest.fixture(scope="session")
def app_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the real app keeps its log, its history and everything else that it writes."""
    return tmp_path_factory.mktemp("app")


@pytest.fixture(scope="session")
def app_server(app_folder: Path) -> Iterator[str]:
    """The address of the real app, started once for all tests."""
    with running_app(app_folder) as port:
        yield f"http://127.0.0.1:{port}"


# --- the browser -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests; without one the tests fail, unless FIVEFOLD_NO_BROWSER=1."""
    with sync_playwright() as play:
        started = chromium.launch(play.chromium)
        yield started
        started.close()


@pytest.fixture
def foreign_requests() -> list[str]:
    """Addresses outside this machine that `page` asked for; `page` fails at its end when there are any."""
    return []


def accept_intended_use(page: Page) -> None:
    """Click through the first screen of a session wherever it stands in the way; a new address is a new session."""
    page.add_locator_handler(page.locator(".st-key-intended_use-accept button"), lambda button: button.click())


@pytest.fixture
def page(browser: Browser, foreign_requests: list[str]) -> Iterator[Page]:
    """A fresh page of 1500x1000 pixels."""
    context = browser.new_context(viewport={"width": 1500, "height": 1000})
    opened = context.new_page()
    accept_intended_use(opened)

    def note(url: str) -> None:
        if urlparse(url).hostname not in ("127.0.0.1", "localhost", None):
            foreign_requests.append(url)

    opened.on("request", lambda request: note(request.url))
    opened.on("websocket", lambda websocket: note(websocket.url))
    yield opened
    context.close()
    assert foreign_requests == []
