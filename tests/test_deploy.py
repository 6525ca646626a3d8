"""docs/deploy.md keeps its word: wheels with hashes, service, container, proxy, sub-path, upgrade and rollback of weights."""

import base64
import configparser
import http.client
import os
import re
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import accept_intended_use, free_port, running_app
from playwright.sync_api import Browser, expect

from core.evaluation.adopt import adopt_point
from core.evaluation.questions import Question
from core.io.score_table import ScoreTable
from core.manifest import SHIPPED, dump_manifest, file_sha256, read_manifest, read_shipped_manifest
from tools import servers
from tools.lock import lock

ROOT = Path(__file__).resolve().parents[1]
PAPER, DEPLOY = ROOT / "docs" / "deploy.md", ROOT / "docs" / "deploy"
PATH, HOST = "fivefold", "fivefold.hospital.example"
USER, PASSWORD = "reader1", "long enough"
LIMIT_MS = 90_000


def blocks(section: str) -> list[str]:
    """The shell blocks of a section of the paper, by the start of its heading."""
    (text,) = [part for part in PAPER.read_text().split("\n## ") if part.startswith(section)]
    return re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def settings(name: str) -> dict[str, list[str]]:
    """KEY=VALUE lines of a file beside the paper."""
    found: dict[str, list[str]] = {}
    for line in (DEPLOY / name).read_text().splitlines():
        if re.match(r"[A-Za-z_]+=", line):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


# --- wheels ----------------------------------------------------------------------------------------------------------


def make_wheel(folder: Path, name: str, version: str, says: str) -> Path:
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", f"SAYS = {says!r}\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return path


def install(wheels: Path, target: Path) -> "subprocess.CompletedProcess[str]":
    """The command of the paper, into a folder."""
    (line,) = [line for block in blocks("1.") for line in block.splitlines() if "--require-hashes" in line]
    words = (
        line.replace("--find-links wheels", f"--find-links {wheels}").replace("requirements.lock", "lock.txt").split()
    )
    command = [sys.executable, *words[1:], "--target", str(target), "--no-cache-dir", "--disable-pip-version-check"]
    return subprocess.run(command, cwd=target.parent, capture_output=True, text=True, timeout=120, check=False)


def test_locked_wheels_are_installed_and_a_changed_one_is_refused(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    make_wheel(wheels, "fivefold_probe_a", "1.0", "a")
    changed = make_wheel(wheels, "fivefold_probe_b", "2.1", "b")
    (tmp_path / "lock.txt").write_text(lock(wheels))
    done = install(wheels, tmp_path / "there")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "there" / "fivefold_probe_b.py").read_text() == "SAYS = 'b'\n"
    changed.unlink()
    make_wheel(wheels, "fivefold_probe_b", "2.1", "something else")
    done = install(wheels, tmp_path / "refused")
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert not (tmp_path / "refused").exists()


def test_a_folder_that_cannot_be_locked_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no wheel"):
        lock(tmp_path)
    make_wheel(tmp_path, "fivefold_probe", "1.0", "a")
    make_wheel(tmp_path, "fivefold_probe", "1.1", "a")
    with pytest.raises(SystemExit, match=r"1\.0 and 1\.1"):
        lock(tmp_path)
    (tmp_path / "fivefold_probe-1.1.tar.gz").write_bytes(b"")
    (tmp_path / "fivefold_probe-1.0-py3-none-any.whl").unlink()
    with pytest.raises(SystemExit, match="is no wheel"):
        lock(tmp_path)


# --- the paper and its files -----------------------------------------------------------------------------------------


def test_every_shell_block_parses() -> None:
    text = PAPER.read_text()
    found = re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(found) >= 8
    for block in found:
        done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, block + done.stderr
    for name in re.findall(r"(tools/\w+\.py|docs/deploy/\w+)", text):
        assert (ROOT / name).is_file()


def test_the_service_starts_what_exists_with_no_rights_beyond_its_data() -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read(DEPLOY / "fivefold.service")
    assert parser.sections() == ["Unit", "Service", "Install"]
    service = settings("fivefold.service")
    assert service["User"] == ["fivefold"]
    (start,), (before,) = service["ExecStart"], service["ExecStartPre"]
    assert "--server.address" not in start, "127.0.0.1 stands in .streamlit/config.toml"
    assert f"--server.baseUrlPath {PATH}" in start
    assert before.endswith("-m core weights")
    assert service["NoNewPrivileges"] == ["yes"]
    assert service["ProtectSystem"] == ["strict"]
    assert service["ReadWritePaths"] == ["/srv/fivefold/data"]
    assert (service["IPAddressDeny"], service["IPAddressAllow"]) == (["any"], ["localhost"])
    assert service["CapabilityBoundingSet"] == [""]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze")
def test_systemd_understands_the_service(tmp_path: Path) -> None:
    unit = tmp_path / "fivefold.service"
    text = (DEPLOY / "fivefold.service").read_text()
    unit.write_text(text.replace("/srv/fivefold/program/.venv/bin/python", sys.executable))
    command = ["systemd-analyze", "verify", "--man=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert [line for line in done.stderr.splitlines() if "fivefold.service" in line] == []


def test_the_container_copies_what_exists_and_runs_as_nobody_special() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    words = [line.split() for line in lines if line and not line.startswith("#")]
    copied = [line[1] for line in words if line[0] == "COPY"]
    assert {name for name in copied if not (ROOT / name).exists()} == set()
    assert {"core", "pages", "app.py", ".streamlit"} <= set(copied)
    admitted = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert {name for name in copied if f"!{name}" not in admitted} == set()
    assert admitted[0] == "*"
    kinds = [line[0] for line in words]
    assert [line[1] for line in words if line[0] == "USER"] == ["fivefold"]
    assert kinds.index("USER") < kinds.index("CMD")
    pinned = set((ROOT / "requirements.txt").read_text().splitlines())
    assert {word for line in words for word in line if re.match(r"torch\w*==", word)} <= pinned
    (health,), (command,) = ([" ".join(line) for line in words if line[0] == kind] for kind in ("HEALTHCHECK", "CMD"))
    assert f"/{PATH}/_stcore/health" in health
    assert f'"--server.baseUrlPath", "{PATH}"' in command


# --- below a path ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def app_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The real app below a path, with the settings of the service."""
    names = {key: value for key, (value,) in settings("environment").items() if key.startswith("STREAMLIT_")}
    allowed = f"{names['STREAMLIT_SERVER_ALLOWED_HOSTS']} localhost 127.0.0.1"
    folder = tmp_path_factory.mktemp("deployed")
    with running_app(
        folder, "--server.baseUrlPath", PATH, environment={**names, "STREAMLIT_SERVER_ALLOWED_HOSTS": allowed}
    ) as port:
        yield port


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""


def test_the_app_lives_below_its_path_and_nowhere_else(app_port: int) -> None:
    base = f"http://127.0.0.1:{app_port}"
    assert get(f"{base}/{PATH}/_stcore/health") == (200, b"ok")
    status, page = get(f"{base}/{PATH}/hip_osteoporosis")
    assert status == 200
    assert b"<title>" in page
    (script,) = set(re.findall(rb'src="([^"]+\.js)"', page))
    assert get(f"{base}/{PATH}/{script.decode().removeprefix('./')}")[0] == 200
    assert get(f"{base}/_stcore/health")[0] == 404


# --- the proxy -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Proxy:
    """nginx with our file, before the running app."""

    port: int
    plain_port: int
    certificate: Path

    def ask(self, path: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
        context = ssl.create_default_context(cafile=str(self.certificate))
        connection = http.client.HTTPSConnection("localhost", self.port, timeout=20, context=context)
        connection.request(method, path, headers={"Host": HOST} | {k.replace("_", "-"): v for k, v in headers.items()})
        answer = connection.getresponse()
        if answer.status != 101:
            answer.read()
        connection.close()
        return answer


@pytest.fixture(scope="module")
def nginx(app_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    program = servers.nginx()
    assert program, "nginx is not installed"
    folder = tmp_path_factory.mktemp("nginx")
    folder.chmod(0o755)
    made = Proxy(free_port(), free_port(), folder / "certificate.pem")
    certify = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    files = ["-keyout", str(folder / "key.pem"), "-out", str(made.certificate)]
    subprocess.run([*certify.split(), *files], check=True, capture_output=True, timeout=60)
    hashed = subprocess.run(["openssl", "passwd", "-apr1", PASSWORD], check=True, capture_output=True, text=True).stdout
    (folder / "users").write_text(f"{USER}:{hashed}")
    text = (DEPLOY / "nginx.conf").read_text()
    for there, here in (
        ("/etc/nginx/fivefold/", f"{folder}/"),
        ("/var/log/nginx/", f"{folder}/"),
        ("listen 80;", f"listen 127.0.0.1:{made.plain_port};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{made.port} ssl;"),
        ("server 127.0.0.1:8501;", f"server 127.0.0.1:{app_port};"),
    ):
        assert there in text
        text = text.replace(there, here)
    (folder / "fivefold.conf").write_text(text)
    own = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if os.geteuid() == 0 else ""
    (folder / "main.conf").write_text(
        f"{user}daemon off;\npid {folder}/pid;\nerror_log {folder}/error.log;\nevents {{}}\n"
        f"http {{\n{own}access_log off;\ninclude {folder}/fivefold.conf;\n}}\n"
    )
    command = [str(program), "-c", str(folder / "main.conf"), "-e", str(folder / "error.log")]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, timeout=30, check=False)
    assert checked.returncode == 0, checked.stderr
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        wait_for(made.port)
        yield made
    finally:
        server.terminate()
        server.wait(timeout=20)


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            assert time.monotonic() < deadline, "nginx does not listen"
            time.sleep(0.05)
        else:
            return


LOGIN = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@pytest.mark.parametrize(
    "path", [f"/{PATH}/", f"/{PATH}/media/0123.png", f"/{PATH}/_stcore/stream", f"/{PATH}/_stcore/upload_file/a/b"]
)
def test_no_address_without_a_login(nginx: Proxy, path: str) -> None:
    assert nginx.ask(path).status == 401
    wrong = "Basic " + base64.b64encode(b"reader1:guess").decode()
    assert nginx.ask(path, Authorization=wrong).status == 401


def test_health_for_all_metrics_for_nobody(nginx: Proxy) -> None:
    assert nginx.ask(f"/{PATH}/_stcore/health").status == 200
    assert nginx.ask(f"/{PATH}/_stcore/metrics", Authorization=LOGIN).status == 404


def test_headers_that_streamlit_lacks(nginx: Proxy) -> None:
    answer = nginx.ask(f"/{PATH}/", Authorization=LOGIN)
    assert answer.status == 200
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "max-age=" in answer.headers["Strict-Transport-Security"]
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "no-store" in ", ".join(answer.headers.get_all("Cache-Control") or [])
    missing = nginx.ask(f"/{PATH}/media/0123.png", Authorization=LOGIN)
    assert "no-store" in ", ".join(missing.headers.get_all("Cache-Control") or [])


def test_plain_http_leads_to_tls(nginx: Proxy) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", nginx.plain_port, timeout=20)
    connection.request("GET", f"/{PATH}/", headers={"Host": HOST})
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Location"]) == (301, f"https://{HOST}/{PATH}/")
    connection.close()


@pytest.mark.parametrize(("origin", "status"), [(f"https://{HOST}", 101), ("https://evil.example", 403), ("null", 403)])
def test_only_our_own_pages_open_a_websocket(nginx: Proxy, origin: str, status: int) -> None:
    key = base64.b64encode(b"0123456789abcdef").decode()
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Key": key, "Sec_WebSocket_Version": "13"}
    answer = nginx.ask(f"/{PATH}/_stcore/stream", Authorization=LOGIN, Origin=origin, **upgrade)
    assert answer.status == status


def test_a_log_line_ends_before_the_token(nginx: Proxy) -> None:
    nginx.ask(f"/{PATH}/evaluate?evaluation=SECRET-TOKEN", Authorization=LOGIN)
    log = nginx.certificate.parent / "fivefold.log"
    deadline = time.monotonic() + 5
    while "/evaluate 200" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert f"{USER} " in log.read_text()
    assert "/evaluate 200" in log.read_text()
    assert "SECRET-TOKEN" not in log.read_text()


def test_a_page_works_behind_the_proxy_under_its_policy(browser: Browser, nginx: Proxy) -> None:
    login = {"username": USER, "password": PASSWORD}
    context = browser.new_context(ignore_https_errors=True, http_credentials=login)
    page = context.new_page()
    accept_intended_use(page)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(f"https://localhost:{nginx.port}/{PATH}/?lang=en")
    expect(page.get_by_role("heading", name="Fivefold")).to_be_visible(timeout=LIMIT_MS)
    link = page.get_by_test_id("stSidebarNavLink").filter(has_text="Hip").get_attribute("href") or ""
    assert link.endswith(f"/{PATH}/hip_osteoporosis")
    page.goto(f"https://localhost:{nginx.port}/{PATH}/experiments?lang=en")
    expect(page.get_by_test_id("stPlotlyChart").first).to_be_visible(timeout=LIMIT_MS)
    assert [text for text in said if "Content Security Policy" in text] == []
    context.close()


# --- weights ---------------------------------------------------------------------------------------------------------


def change_weights(folder: Path) -> None:
    """Another version of the model: one tensor differs, and the manifest knows."""
    from safetensors.numpy import load, save

    manifest = read_shipped_manifest(folder)
    path = folder / manifest.weights.file
    tensors = load(path.read_bytes())
    name = min(tensors, key=lambda key: tensors[key].size if tensors[key].size > 1 else 10**9)
    tensors[name] = tensors[name] * np.asarray(1.01, tensors[name].dtype)
    path.write_bytes(save(tensors))
    weights = {"sha256": file_sha256(path), "bytes": path.stat().st_size}
    change = {**manifest.changelog[-1].model_dump(), "version": "9.0.0"}
    other = manifest.model_dump() | {
        "version": "9.0.0",
        "changelog": (*manifest.model_dump()["changelog"], change),
        "weights": manifest.weights.model_dump() | weights,
    }
    (folder / SHIPPED).write_text(dump_manifest(type(manifest).model_validate(other)))


def question(labels: tuple[str, ...]) -> Question:
    score = np.linspace(0, 1, 40)
    names = tuple(f"case-{place:05d}" for place in range(40))
    return Question(labels[0], {}, ScoreTable(score > 0.45, score, np.arange(40), None, None), names, names)


def run(block: str, folder: Path, data: Path, release: Path) -> "subprocess.CompletedProcess[str]":
    """One block of the paper, with a systemctl that only notes what it was asked."""
    tools = folder / "bin"
    tools.mkdir(exist_ok=True)
    (tools / "systemctl").write_text(f'#!/bin/sh\necho "$@" >> {folder}/systemctl.log\n')
    (tools / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    for tool in tools.iterdir():
        tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "DATA": str(data), "RELEASE": str(release)}
    return subprocess.run(
        ["bash", "-e", "-c", block], env=environment, capture_output=True, text=True, timeout=240, check=False
    )


def test_weights_are_upgraded_and_rolled_back_and_thresholds_stay_with_theirs(tmp_path: Path) -> None:
    check, switch, back = blocks("6.")
    shipped = next((ROOT / "weights" / "hip_osteoporosis").glob("*/manifest.json")).parent
    model = Path("hip_osteoporosis") / shipped.name
    data, release = tmp_path / "data", tmp_path / "release"
    for tree in (data / "weights-1", release / "weights"):
        shutil.copytree(shipped, tree / model, ignore=shutil.ignore_patterns("local.json"))
    (data / "weights").symlink_to("weights-1")
    for name in ("core", "results"):
        (release / name).symlink_to(ROOT / name)
    change_weights(release / "weights" / model)
    own = adopt_point(
        data / "weights" / model, question(read_manifest(data / "weights" / model).labels), 0.5, "QA", "ab" * 32
    )
    assert own.operating_points[-1].id == "local_1"

    done = run(check, tmp_path, data, release)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "9.0.0: ok" in done.stdout
    assert read_manifest(data / "weights" / model) == own, "the old weights are in force until the switch"
    assert run(switch, tmp_path, data, release).returncode == 0
    upgraded = read_manifest(data / "weights" / model)
    assert upgraded.version == "9.0.0"
    assert "local_1" not in {point.id for point in upgraded.operating_points}
    assert run(back, tmp_path, data, release).returncode == 0
    assert read_manifest(data / "weights" / model) == own
    assert (tmp_path / "systemctl.log").read_text().splitlines() == ["restart fivefold"] * 2


def test_weights_that_are_not_whole_stop_the_upgrade(tmp_path: Path) -> None:
    check = blocks("6.")[0]
    shipped = next((ROOT / "weights" / "hip_osteoporosis").glob("*/manifest.json")).parent
    model = Path("hip_osteoporosis") / shipped.name
    data, release = tmp_path / "data", tmp_path / "release"
    (data / "weights").mkdir(parents=True)
    shutil.copytree(shipped, release / "weights" / model, ignore=shutil.ignore_patterns("local.json"))
    (release / "core").symlink_to(ROOT / "core")
    with (release / "weights" / model / "model.safetensors").open("r+b") as file:
        file.seek(5000)
        file.write(bytes([file.read(1)[0] ^ 1]))
    done = run(check, tmp_path, data, release)
    assert done.returncode == 3
    assert "refused: SHA-256" in done.stdout
