"""The servers that tests talk to, PostgreSQL, Orthanc and nginx: finds them, or installs Debian's packages.

Run as a program it makes sure that they are there where the system has apt-get and a password is not asked for.
FIVEFOLD_NO_SERVERS=1 does without; their tests are then skipped and counted, as they are where a server is missing.
With FIVEFOLD_REQUIRE_SERVERS=1 they are not skipped, and fail.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

PACKAGES = ("postgresql", "orthanc", "orthanc-dicomweb", "dcmtk", "nginx-light")
INSTALL_LIMIT_S = 600
_START_LIMIT_S = 60
_NOBODY = "nobody"


def is_declined() -> bool:
    """Whether a person asked to do without servers."""
    return os.environ.get("FIVEFOLD_NO_SERVERS") == "1"


def is_required() -> bool:
    """Whether a missing server is a failure."""
    return os.environ.get("FIVEFOLD_REQUIRE_SERVERS") == "1"


def postgresql_folder() -> Path | None:
    """The folder of PostgreSQL's programs, the newest where there are several; None without one."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    on_path = shutil.which("initdb")
    if found:
        return max(found, key=lambda folder: int(folder.parent.name))
    return Path(on_path).parent if on_path else None


def orthanc() -> Path | None:
    """The program of Orthanc; None without one. Debian keeps it among those of the system."""
    found = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
    return Path(found) if found else None


def nginx() -> Path | None:
    """The program of nginx; None without one. Debian keeps it among those of the system."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    return Path(found) if found else None


def missing() -> list[str]:
    """Packages whose program is not there."""
    there = {
        "postgresql": postgresql_folder() is not None,
        "orthanc": orthanc() is not None,
        "orthanc-dicomweb": any(Path("/usr/share/orthanc/plugins").glob("libOrthancDicomWeb.so*")),
        "dcmtk": shutil.which("dcmdump") is not None,
        "nginx-light": nginx() is not None,
    }
    return [package for package in PACKAGES if not there[package]]


def install(packages: Sequence[str]) -> bool:
    """Install Debian's packages; whether all are there now. No service is started by it."""
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if not shutil.which("apt-get") or not _succeeds([*as_root, "true"]):
        return False
    print(f"Installing the servers of the tests from the system's packages: {' '.join(packages)} ...", flush=True)
    _succeeds([*as_root, "apt-get", "update"])
    # RUNLEVEL: the package of a server would start it at once
    environment = ["env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1"]
    _succeeds([*as_root, *environment, "apt-get", "install", "-y", "--no-install-recommends", *packages])
    return not missing()


def _succeeds(command: Sequence[str]) -> bool:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=INSTALL_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


@contextmanager
def running_postgresql() -> Iterator[str]:
    """A PostgreSQL with a new folder and no network, as another user where this one is root; yields its SQLAlchemy URL."""
    programs = postgresql_folder()
    if programs is None:
        raise FileNotFoundError("PostgreSQL is not installed: python tools/servers.py")
    user = _NOBODY if os.geteuid() == 0 else None  # it refuses to run as root
    with tempfile.TemporaryDirectory(prefix="fivefold-pg-") as place:
        if user:
            shutil.chown(place, user)
        data = Path(place) / "data"

        def call(program: str, *arguments: str) -> None:
            subprocess.run(
                [str(programs / program), f"--pgdata={data}", *arguments],
                user=user,
                extra_groups=[] if user else None,
                cwd=place,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=True,
                timeout=2 * _START_LIMIT_S,
            )

        call("initdb", "--no-sync", "--auth=trust", "--username=tests", "--encoding=UTF8", "--locale=C")
        options = f"-F -c listen_addresses='' -c unix_socket_directories='{place}'"
        wait = ("--wait", f"--timeout={_START_LIMIT_S}")
        call("pg_ctl", *wait, f"--log={place}/log.txt", f"--options={options}", "start")
        try:
            yield f"postgresql+psycopg://tests@/postgres?host={place}"
        finally:
            call("pg_ctl", *wait, "--mode=immediate", "stop")


class Orthanc:
    """A PACS with a new folder, for this machine alone; it may be killed and started again.

    Args:
        folder: Its own.
        settings: Beside those of every test.
        script: In Lua; "" = none.

    Attributes:
        root, url: Base of its own services, and of DICOMweb.
        dicom_port: Where it takes C-STORE and C-FIND.
        user, password: It asks for.
    """

    user, password = "tests", "tests-password"

    def __init__(self, folder: Path, settings: Mapping[str, object], script: str) -> None:
        program = orthanc()
        if program is None:
            raise FileNotFoundError("Orthanc is not installed: python tools/servers.py")
        self._program, self._folder = program, folder
        self._port, self.dicom_port = free_port(), free_port()
        self.root = f"http://127.0.0.1:{self._port}"
        self.url = f"{self.root}/dicom-web"
        self._process: subprocess.Popen[bytes] | None = None
        plugin = next(Path("/usr/share/orthanc/plugins").glob("libOrthancDicomWeb.so*"))
        (folder / "script.lua").write_text(script)
        own = {
            "StorageDirectory": str(folder / "db"),
            "IndexDirectory": str(folder / "db"),
            "HttpPort": self._port,
            "DicomPort": self.dicom_port,
            "DicomAet": "GATEWAY",
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {self.user: self.password},
            "LuaScripts": [str(folder / "script.lua")],
            "OverwriteInstances": False,
            "Plugins": [str(plugin)],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "Host": f"127.0.0.1:{self._port}", "Ssl": False},
        }
        (folder / "db").mkdir()
        (folder / "orthanc.json").write_text(json.dumps({**settings, **own}))
        if os.geteuid() == 0:
            for path in (folder, *folder.iterdir()):
                shutil.chown(path, _NOBODY)

    def start(self) -> None:
        """Returns once it answers."""
        as_nobody = os.geteuid() == 0
        self._process = subprocess.Popen(
            [str(self._program), str(self._folder / "orthanc.json")],
            user=_NOBODY if as_nobody else None,
            extra_groups=[] if as_nobody else None,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        limit = time.monotonic() + _START_LIMIT_S
        while time.monotonic() < limit and self._process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1):
                return
            time.sleep(0.05)
        raise TimeoutError("Orthanc did not start")

    def kill(self) -> None:
        """End it at once, without a chance to tidy up."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def running_orthanc(settings: Mapping[str, object] | None = None, script: str = "") -> Iterator[Orthanc]:
    """An empty PACS; see `Orthanc`."""
    with tempfile.TemporaryDirectory(prefix="fivefold-pacs-") as place:
        server = Orthanc(Path(place), settings or {}, script)
        server.start()
        try:
            yield server
        finally:
            server.kill()


def free_port() -> int:
    """A port of this machine that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Make sure that the servers are there, or say what to install; never fails, so that the other tests run."""
    if is_declined():
        print("FIVEFOLD_NO_SERVERS=1: the tests with servers are skipped.")
    elif (absent := missing()) and not install(absent):
        print(
            f"Not there: {', '.join(missing())}. The tests with these servers are skipped.\n"
            f"Debian and Ubuntu: sudo apt-get install {' '.join(PACKAGES)}",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
