"""HTTP to one server that may be down, slow or hostile: one exchange has an end and a size, and goes nowhere else.

Redirects, proxies, cookies and compressed replies are not followed, used, kept or asked for. Replies are bytes here; DICOM
in them is for the reader process alone, which is why no DICOMweb library is at work: they parse it where they are called.
"""

import base64
import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from core.errors import PacsError
from core.services.pacs.settings import PacsSettings

CONNECT_S, READ_S, ATTEMPTS = 3.0, 20.0, 2
_QUICK_S, _PAUSE_S = 1.0, 0.3  # a second attempt only after a quick failure: who waits is told within 5 s
_AGAIN = (502, 503, 504)  # of a gateway whose server is just coming back
_BLOCK = 2**16
_REFUSED = {
    401: "the credentials are refused (HTTP 401)",
    403: "this user has no right to do it (HTTP 403)",
    404: "no such address or object (HTTP 404)",
    413: "more than the server takes at once (HTTP 413)",
}


@dataclass(frozen=True)
class Reply:
    """What came back.

    Attributes:
        status: Of HTTP.
        kind: Content type, with its parameters.
        content: The whole body.
    """

    status: int
    kind: str
    content: bytes


class StatusError(PacsError):
    """The server answered, but not with what was asked for.

    Args:
        status: Of HTTP.
    """

    def __init__(self, status: int) -> None:
        words = "redirects are not followed" if 300 <= status < 400 else "unexpected answer"
        super().__init__(_REFUSED.get(status, f"{words} (HTTP {status})"))
        self.status = status


class _Lost(Exception):
    """There was no connection, or it ended before the reply did."""


class Web:
    """The server of an installation; threads may share one.

    Args:
        settings: Of the installation.

    Raises:
        PacsError: The file of the authority cannot be read.
    """

    def __init__(self, settings: PacsSettings) -> None:
        parts = urlsplit(settings.url)
        self._host, self._port, self._root = str(parts.hostname), parts.port, parts.path.rstrip("/")
        self._headers = {"User-Agent": "Fivefold", "Accept-Encoding": "identity", "Connection": "close"}
        if settings.user:
            pair = f"{settings.user}:{settings.password}".encode()
            self._headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
        self._tls: ssl.SSLContext | None = None
        if parts.scheme == "https":
            try:
                self._tls = ssl.create_default_context(cafile=settings.authority)
            except (OSError, ssl.SSLError) as error:
                raise PacsError("the file of its certificate authority cannot be read") from error

    def exchange(
        self,
        target: str,
        headers: Mapping[str, str],
        max_bytes: int,
        seconds: float,
        body: bytes | None = None,
        expected: tuple[int, ...] = (200, 204),
    ) -> Reply:
        """GET, or POST where there is a body.

        Args:
            target: Path below the base, with its query, percent-encoded.
            headers: Beside those of every exchange.
            max_bytes: Largest body of the reply.
            seconds: The whole exchange may take, whatever trickles in meanwhile.
            body: To send.
            expected: Statuses to return; all others are errors.

        Raises:
            StatusError: Another status.
            PacsError: No connection, no or no whole answer in time, or a larger one.
        """
        for attempt in range(1, ATTEMPTS + 1):
            started = time.monotonic()
            try:
                reply = self._once(target, {**self._headers, **headers}, max_bytes, seconds, body)
            except _Lost as lost:
                if attempt == ATTEMPTS or time.monotonic() - started > _QUICK_S:
                    raise PacsError(str(lost)) from lost
            else:
                if reply.status in expected:
                    return reply
                if attempt == ATTEMPTS or reply.status not in _AGAIN:
                    raise StatusError(reply.status)
            time.sleep(_PAUSE_S)
        raise AssertionError  # the last attempt returns or raises

    def _once(
        self, target: str, headers: Mapping[str, str], max_bytes: int, seconds: float, body: bytes | None
    ) -> Reply:
        connection = self._connection()
        try:
            with _Deadline(connection, seconds) as deadline:
                try:
                    self._connect(connection)
                    deadline.hold()
                    connection.request("GET" if body is None else "POST", self._root + target, body, headers)
                    reply = connection.getresponse()
                    content = _whole(reply, max_bytes)
                except PacsError:
                    raise
                except TimeoutError as error:
                    raise PacsError(f"no answer within {min(READ_S, seconds):g} s") from error
                except (OSError, http.client.HTTPException, ValueError) as error:
                    if deadline.is_over:
                        raise PacsError(f"the answer took more than {seconds:g} s") from error
                    raise _Lost("the connection ended before the answer did") from error
            if deadline.is_over:  # a reply without a length looks whole
                raise PacsError(f"the answer took more than {seconds:g} s")
            return Reply(reply.status, str(reply.getheader("Content-Type") or ""), content)
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_S)
        return http.client.HTTPSConnection(self._host, self._port, timeout=CONNECT_S, context=self._tls)

    def _connect(self, connection: http.client.HTTPConnection) -> None:
        try:
            connection.connect()
        except ssl.SSLCertVerificationError as error:
            raise PacsError("its certificate is not trusted") from error
        except TimeoutError as error:
            raise PacsError(f"no connection within {CONNECT_S:g} s") from error
        except OSError as error:
            raise _Lost("no connection") from error
        connection.sock.settimeout(READ_S)


class _Deadline:
    """Cuts the line when time is up: limits of single reads never end a reply that trickles."""

    def __init__(self, connection: http.client.HTTPConnection, seconds: float) -> None:
        self.is_over = False
        self._connection = connection
        self._line: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def hold(self) -> None:
        """Keep the line that was made: the connection forgets it when a reply announces its end by closing."""
        self._line = self._connection.sock

    def _cut(self) -> None:
        self.is_over = True
        line = self._line or self._connection.sock  # the latter while TLS shakes hands
        if line is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(line, socket.SHUT_RDWR)  # of the plain socket: TLS would wait for a goodbye

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


def _whole(reply: http.client.HTTPResponse, max_bytes: int) -> bytes:
    """The body.

    Raises:
        PacsError: It is larger.
        HTTPException: It is cut.
    """
    parts, n_bytes = [], 0
    while block := reply.read(_BLOCK):
        parts.append(block)
        n_bytes += len(block)
        if n_bytes > max_bytes:
            raise PacsError(f"its answer is larger than {max_bytes} bytes")
    if reply.length:
        raise http.client.IncompleteRead(b"")
    return b"".join(parts)
