"""The reader process: `python -m core.io.worker MEMORY_BYTES SECONDS`, talking through its standard input and output.

It parses what strangers made, so it is expected to crash, hang and run out of memory; core.io.reader restarts it.
"""

import os
import signal
import sys
from typing import IO

from core.errors import FileError, ScreeningError
from core.io import wire
from core.io.container import read_study
from core.io.derived.plan import unpack_plan
from core.io.dicom import examination_date
from core.io.label_table import parse_table
from core.io.limits import limit_memory, set_alarm
from core.io.voc import describe_voc
from core.io.zip_file import unpack_zip


def main() -> None:
    """Answer requests until the server closes the pipe."""
    memory_bytes, seconds = int(sys.argv[1]), int(sys.argv[2])
    key = os.environ["FIVEFOLD_PSEUDONYM_KEY"].encode()
    requests, replies = _claim_pipes()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this process
    limit_memory(memory_bytes)
    wire.send(replies, {"verb": "ready"})
    while True:
        try:
            request, data = wire.receive(requests, sys.maxsize)
        except (EOFError, wire.WireError):
            return
        set_alarm(seconds * wire.patience(request))
        reply, body = _answer(request, data, key)
        set_alarm(0)
        wire.send(replies, reply, *body)
        del request, data, reply, body  # an archive and its files, before the next request comes


def _answer(request: wire.Header, data: bytes, key: bytes) -> tuple[wire.Header, list[memoryview]]:
    try:
        if request["verb"] == "unpack":
            return wire.pack_files(unpack_zip(data))
        if request["verb"] == "table":
            return wire.pack_table(parse_table(data))
        if request["verb"] == "voc":
            return describe_voc(data), []
        if request["verb"] == "derive":
            from core.io.derived.objects import derive  # loads highdicom: a second that few files need

            return wire.pack_files(derive(*unpack_plan(request["plan"], data), key))
        if request["verb"] == "deidentify":
            from core.io.deidentify import deidentify

            return wire.pack_files([("copy.dcm", deidentify(data, request["salt"], key))])
        study = read_study(data, request["frame"], key)
        if request["verb"] == "read_dated":
            return wire.pack_dated(study, examination_date(data) if study.container == "dicom" else None)
        return wire.pack_study(study)
    except ScreeningError as error:
        return wire.pack_error(error), []
    # Codecs raise BaseExceptions too (a Rust panic is one); the text of an exception may quote the file.
    except BaseException as error:
        return wire.pack_error(FileError("E_CRASH", type(error).__name__)), []


def _claim_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Take the pipes for the protocol alone: what codecs print goes nowhere."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    return requests, replies


if __name__ == "__main__":
    main()
