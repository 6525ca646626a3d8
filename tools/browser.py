"""A Chromium for the tests: finds one, or fetches one.

Run as a program it makes sure that one starts: a Chromium on PATH, else Playwright's own, else a download of Playwright's,
else Debian's package. FIVEFOLD_NO_BROWSER=1 does without; the browser tests are then skipped
and counted.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

from playwright.sync_api import Browser, BrowserType, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",  # Chromium refuses to start as root without it
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DOWNLOAD_LIMIT_S = 300
START_LIMIT_S = 60


def is_declined() -> bool:
    """Whether a person asked to do without a browser."""
    return os.environ.get("FIVEFOLD_NO_BROWSER") == "1"


def launch(chromium: BrowserType) -> Browser:
    """Start the Chromium on PATH, or Playwright's own where there is none."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    return chromium.launch(executable_path=path, args=list(FLAGS))


def starts() -> bool:
    """Whether a Chromium is there with all system libraries that it and Playwright need; tried in a process of its own."""
    return _succeeds([sys.executable, __file__, "--start"], START_LIMIT_S)


def fetch_playwrights() -> bool:
    """Download Playwright's Chromium; whether it starts."""
    print(f"Downloading a Chromium for the browser tests (about 120 MB, at most {DOWNLOAD_LIMIT_S} s) ...", flush=True)
    _succeeds([sys.executable, "-m", "playwright", "install", "--only-shell", "chromium"], DOWNLOAD_LIMIT_S)
    return starts()


def fetch_debians() -> bool:
    """Install Debian's Chromium, and fonts for Chinese and Korean where none are; whether it starts."""
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if not shutil.which("apt-get") or not _succeeds([*as_root, "true"]):
        return False
    packages = ["chromium", "libatomic1"]  # Playwright's driver needs libatomic
    if not _has_cjk_fonts():
        packages.append("fonts-noto-cjk")
    print(f"That did not work. Installing from the system's packages instead: {' '.join(packages)} ...", flush=True)
    install = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    _succeeds([*as_root, "apt-get", "update"])
    _succeeds([*as_root, "env", "DEBIAN_FRONTEND=noninteractive", *install])
    return starts()


def _has_cjk_fonts() -> bool:
    if not shutil.which("fc-list"):
        return False
    return bool(subprocess.run(["fc-list", ":lang=zh"], capture_output=True, check=False).stdout.strip())


def _succeeds(command: Sequence[str], limit_s: float | None = None) -> bool:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit_s, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def main() -> None:
    """Make sure that a Chromium starts, or say what to install; never fails, so that the other tests run."""
    if sys.argv[1:] == ["--start"]:
        with sync_playwright() as play:
            launch(play.chromium).close()
    elif is_declined():
        print("FIVEFOLD_NO_BROWSER=1: the browser tests are skipped.")
    elif not (starts() or fetch_playwrights() or fetch_debians()):
        print(
            "No Chromium could be started or fetched, so the browser tests will fail.\n"
            "Debian and Ubuntu: sudo apt-get install chromium libatomic1\n"
            "Others: .venv/bin/python -m playwright install chromium\n"
            "To do without them: FIVEFOLD_NO_BROWSER=1 make test",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
