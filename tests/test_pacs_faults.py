"""A PACS that is down, slow, refuses or lies: said in time and in words, and never believed. The other side are bare sockets."""

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from core.errors import FileError, PacsError, ScreeningError, UsageError
from core.io.reader import shared_reader
from core.services.pacs import client, web
from core.services.pacs.client import Pacs
from core.services.pacs.matches import Instance, Query, SeriesMatch, StudyMatch
from core.services.pacs.settings import PASSWORD, URL, USER, PacsSettings, pacs_settings

STUDY = StudyMatch("1.2.3", "", "", "", "", (), "")
IMAGE = Instance(SeriesMatch(STUDY, "1.2.3.4", "DX", "", ""), "1.2.3.4.5", 1)
QUERY = Query(accession="A1")
Talk = Callable[[socket.socket], None]


@contextmanager
def talking(talk: Talk) -> Iterator[tuple[Pacs, list[bytes]]]:
    """A server that reads a request and then does what `talk` does; yields its client and the requests so far."""
    requests: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))
    is_over = threading.Event()

    def serve() -> None:
        while not is_over.is_set():
            try:
                line, _ = listener.accept()
            except OSError:
                return
            with line:
                if not (request := line.recv(2**16)):
                    continue
                requests.append(request)
                try:
                    talk(line)
                except OSError:
                    continue  # the client had enough

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield Pacs(PacsSettings(f"http://127.0.0.1:{listener.getsockname()[1]}/dicom-web")), requests
    finally:
        is_over.set()
        with socket.socket() as last:
            last.connect(listener.getsockname())
        listener.close()
        thread.join(5)


def answer(status: str, body: bytes = b"", *headers: str) -> Talk:
    """One whole reply."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return lambda line: line.sendall("\r\n".join(head).encode() + body)


def json_answer(text: str) -> Talk:
    return answer("200 OK", text.encode(), "Content-Type: application/dicom+json")


def trickle(first: bytes, drop: bytes) -> Talk:
    """A reply that never ends, a few bytes at a time."""

    def talk(line: socket.socket) -> None:
        line.sendall(first)
        for _ in range(1000):
            line.sendall(drop)
            time.sleep(0.05)

    return talk


# --- down, slow ------------------------------------------------------------------------------------------------------


def test_a_closed_port_is_told_within_five_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    started = time.monotonic()
    with pytest.raises(PacsError, match="no connection"):
        Pacs(PacsSettings(f"http://127.0.0.1:{port}")).ping()
    assert time.monotonic() - started < 5


def test_a_host_that_swallows_packets_is_told_within_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    def swallow(address: object, timeout: float, *_: object) -> socket.socket:
        time.sleep(timeout)
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", swallow)
    started = time.monotonic()
    with pytest.raises(PacsError, match="no connection within 3 s"):
        Pacs(PacsSettings("http://192.0.2.1/dicom-web")).ping()
    assert time.monotonic() - started < 5


def test_silence_after_the_request_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "READ_S", 0.5)
    with (
        talking(lambda _: time.sleep(1.5)) as (pacs, requests),
        pytest.raises(PacsError, match=r"no answer within 0\.5 s"),
    ):
        pacs.ping()
    assert len(requests) == 1, "who is slow is not asked again"


@pytest.mark.parametrize(
    ("first", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"["),
        (b"HTTP/1.1 200 OK\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n[\r\n"),
    ],
    ids=["headers", "body", "no length", "chunks"],
)
def test_a_reply_that_trickles_is_cut(first: bytes, drop: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "SEARCH_S", 1.0)
    started = time.monotonic()
    with talking(trickle(first, drop)) as (pacs, _), pytest.raises(PacsError, match="took more than 1 s"):
        pacs.ping()
    assert time.monotonic() - started < 5


def test_a_line_that_breaks_is_tried_once_more_and_no_further() -> None:
    with talking(lambda _: None) as (pacs, requests), pytest.raises(PacsError, match="ended before"):
        pacs.ping()
    assert len(requests) == web.ATTEMPTS


def test_a_gateway_that_comes_back_is_asked_again() -> None:
    talks = iter([answer("503 Service Unavailable"), json_answer("[]")])
    with talking(lambda line: next(talks)(line)) as (pacs, requests):
        pacs.ping()
    assert len(requests) == 2


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "words"),
    [("401 Unauthorized", "credentials"), ("403 Forbidden", "right"), ("500 Internal Server Error", "HTTP 500")],
)
def test_a_refusal_is_named_and_not_repeated(status: str, words: str) -> None:
    page = answer(status, b"<img src=x onerror=alert(1)>")
    with talking(page) as (pacs, requests), pytest.raises(PacsError, match=words) as caught:
        pacs.ping()
    assert len(requests) == 1
    assert "onerror" not in str(caught.value)


def test_a_redirect_is_not_followed() -> None:
    with talking(json_answer("[]")) as (inner, reached):
        location = f"Location: http://127.0.0.1:{inner._web._port}/latest/meta-data"
        with talking(answer("302 Found", b"", location)) as (pacs, _), pytest.raises(PacsError, match="redirects"):
            pacs.ping()
        assert not reached


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_a_certificate_is_trusted_only_with_its_authority(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=pacs", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def talk(line: socket.socket) -> None:
        with context.wrap_socket(line, server_side=True) as wrapped:
            wrapped.recv(2**16)
            json_answer("[]")(wrapped)

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(2):
                with suppress(OSError), listener.accept()[0] as line:
                    talk(line)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(PacsError, match="certificate is not trusted"):
            Pacs(PacsSettings(url)).ping()
        Pacs(PacsSettings(url, "user", "secret", authority=certificate)).ping()
        thread.join(5)


def test_what_is_no_tls_or_no_authority_is_refused(tmp_path: Path) -> None:
    with talking(lambda line: line.sendall(b"no TLS")) as (plain, _), pytest.raises(PacsError, match="no connection"):
        Pacs(PacsSettings(f"https://127.0.0.1:{plain._web._port}")).ping()
    (tmp_path / "authority.pem").write_text("none")
    with pytest.raises(PacsError, match="authority"):
        Pacs(PacsSettings("https://127.0.0.1", authority=tmp_path / "authority.pem"))


# --- hostile replies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "<html>",
        '{"a": 1}',
        "[1, 2]",
        '[{"0020000D": {"Value": ["../../etc/passwd"]}}]',
        '[{"0020000D": {"Value": [{"Alphabetic": ["1.2"]}]}}]',
        '[{"0020000D": 7}]',
        "[{}]",
        "[" * 100_000,
    ],
)
def test_json_that_is_no_answer_is_refused(text: str) -> None:
    with talking(json_answer(text)) as (pacs, _), pytest.raises(PacsError):
        pacs.studies(QUERY, 10)


def test_values_are_cut_and_made_printable() -> None:
    value = "=HYPERLINK" + "\\u001b[31m" + "x" * 5000
    talks = iter([json_answer(_studies(description=value)), answer("204 No Content")])
    with talking(lambda line: next(talks)(line)) as (pacs, _):
        (study,) = pacs.studies(QUERY, 10)
    assert study.description.isprintable()
    assert len(study.description) <= 64


def test_a_server_that_ignores_the_question_is_not_believed() -> None:
    everybody = json_answer(_studies(accession="SOMEBODY ELSE"))
    with talking(everybody) as (pacs, _), pytest.raises(PacsError, match="not asked for"):
        pacs.studies(QUERY, 10)


def test_a_search_without_end_ends() -> None:
    count = iter(range(10**6))

    def talk(line: socket.socket) -> None:
        json_answer(_studies(uid=f"1.2.{next(count)}"))(line)

    with talking(talk) as (pacs, requests), pytest.raises(PacsError, match="more than 10"):
        pacs.studies(QUERY, 10)
    assert len(requests) < 20


@pytest.mark.parametrize("head", ["Content-Length: 100000000000", "Transfer-Encoding: chunked"])
def test_a_reply_without_end_is_cut_by_its_size(head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_MAX_SEARCH_BYTES", 2**20)
    block = b"[" * 2**16
    part = block if "Length" in head else f"{len(block):x}\r\n".encode() + block + b"\r\n"

    def talk(line: socket.socket) -> None:
        line.sendall(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode())
        while True:
            line.sendall(part)

    with talking(talk) as (pacs, _), pytest.raises(PacsError, match="larger than 1048576 bytes"):
        pacs.ping()


MULTIPART = 'Content-Type: multipart/related; type="application/dicom"; boundary=b1'


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("Content-Type: text/html", b"<html>"),
        ("Content-Type: multipart/related", b"--b1\r\n\r\nDICM\r\n--b1--"),
        (MULTIPART, b"--b1\r\n\r\nDICM"),
        (MULTIPART, b"--b1\r\n\r\none\r\n--b1\r\n\r\ntwo\r\n--b1--"),
        (MULTIPART, b"--b1--"),
        (MULTIPART, b""),
    ],
    ids=["page", "no boundary", "cut", "two files", "empty", "nothing"],
)
def test_a_reply_that_holds_no_single_file_is_refused(kind: str, body: bytes) -> None:
    with talking(answer("200 OK", body, kind)) as (pacs, _), pytest.raises(FileError) as caught:
        pacs.fetch(IMAGE)
    assert caught.value.code == "E_PACS_OBJECT"


def test_the_file_in_a_multipart_reply_is_kept_byte_by_byte() -> None:
    content = b"\r\n--b \0\r\n\r\n--b2\r\n"
    body = b"preamble\r\n--b1\r\nContent-Type: application/dicom\r\n\r\n" + content + b"\r\n--b1--\r\n"
    with talking(answer("200 OK", body, MULTIPART)) as (pacs, _):
        assert pacs.fetch(IMAGE) == content


def test_garbage_is_refused_by_the_reader_process() -> None:
    body = b"--b1\r\n\r\n" + b"\0" * 128 + b"DICM" + b"\xff" * 500 + b"\r\n--b1--"
    with talking(answer("200 OK", body, MULTIPART)) as (pacs, _), pytest.raises(ScreeningError):
        pacs.read(IMAGE)
    assert shared_reader().pids, "and it is there for the next file"


# --- questions and settings ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"modalities": ("DX",)},
        {"patient_id": "*"},
        {"patient_id": "A?"},
        {"accession": "A\\B"},
        {"accession": "A,B"},
        {"patient_id": "x" * 65},
        {"patient_id": " A"},
        {"accession": "A", "modalities": ("D&limit=9",)},
        {"first": date(2025, 2, 1), "last": date(2025, 1, 1)},
    ],
)
def test_a_question_that_could_match_others_is_not_asked(asked: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Query(**asked)


def test_ids_cannot_leave_their_place_in_the_address() -> None:
    with talking(answer("204 No Content")) as (pacs, requests):
        assert pacs.studies(Query(patient_id="a&PatientID=b/../c#d e"), 10) == []
    assert b"PatientID=a%26PatientID%3Db%2F..%2Fc%23d%20e&" in requests[0]


@pytest.mark.parametrize(
    "url",
    ["ftp://pacs", "pacs", "http://", "https://user:hidden@pacs/dicom-web", "https://pacs?x=1", "https://pacs:port"],
)
def test_an_address_that_cannot_be_right_is_refused(url: str) -> None:
    with pytest.raises(PacsError) as caught:
        PacsSettings(url)
    assert "hidden" not in str(caught.value)


def test_a_password_is_not_sent_in_the_clear_to_another_machine() -> None:
    with pytest.raises(PacsError, match="unencrypted"):
        PacsSettings("http://pacs.example.org/dicom-web", "user", "secret")
    assert "secret" not in repr(PacsSettings("https://pacs.example.org", "user", "secret"))


def test_settings_come_from_the_files_and_the_environment_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (URL, USER, PASSWORD):
        monkeypatch.delenv(name, raising=False)
    settings, secrets = tmp_path / "fivefold.toml", tmp_path / "secrets.toml"
    assert pacs_settings(settings, secrets) is None
    settings.write_text('[pacs]\nurl = ""\n')
    assert pacs_settings(settings, secrets) is None
    settings.write_text('[pacs]\nurl = "https://pacs/dicom-web/"\nuser = "u"\nstore = true\n')
    secrets.write_text('[pacs]\npassword = "p"\n')
    assert pacs_settings(settings, secrets) == PacsSettings("https://pacs/dicom-web", "u", "p", can_store=True)
    monkeypatch.setenv(URL, "http://127.0.0.1:1")
    monkeypatch.setenv(PASSWORD, "q")
    assert pacs_settings(settings, secrets) == PacsSettings("http://127.0.0.1:1", "u", "q", can_store=True)
    monkeypatch.setenv(URL, "off")
    assert pacs_settings(settings, secrets) is None


def test_none_is_named_as_it_is_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URL, raising=False)
    assert pacs_settings() is None


def _studies(uid: str = "1.2", accession: str = "A1", description: str = "") -> str:
    return (
        f'[{{"0020000D": {{"Value": ["{uid}"]}}, "00080050": {{"Value": ["{accession}"]}}, '
        f'"00081030": {{"Value": ["{description}"]}}}}]'
    )
