"""The only door for foreign bytes: a small pool of reader processes (core.io.worker).

A file that crashes, hangs or unpacks without end costs one answer and one restarted process, never the server. The processes are
started with subprocess and not with multiprocessing, which would run the page script again in each of them.
"""

import atexit
import hashlib
import os
import queue
import secrets
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from core.errors import BusyError, FileError, UsageError
from core.io import vocabulary, wire
from core.io.dated import DatedStudy
from core.io.derived.plan import Plan, pack_plan
from core.io.keys import Kind, keyed_hash
from core.io.label_table import LabelTable
from core.io.reader_process import KEY, Gone, ReaderProcess
from core.io.series import File, Series, folder_files, read_files
from core.io.voc import MAX_XML_BYTES, TOO_LARGE, VocError, VocFile
from core.records import Study

T = TypeVar("T")


class Reader:
    """A pool of reader processes; threads may share one Reader.

    Args:
        workers: Number of processes.
        seconds: Wall time a file may take.
        memory_bytes: Resident memory a process may take, where the system can limit it.
        max_bytes: Largest file.
        wait_seconds: How long a call waits for a free process.
    """

    def __init__(
        self,
        workers: int = 2,
        seconds: int = 10,
        memory_bytes: int = 1_500_000_000,
        max_bytes: int = 256 * 2**20,
        wait_seconds: float = 15.0,
    ) -> None:
        self._memory_bytes, self._seconds = memory_bytes, seconds
        self._max_bytes, self._wait_seconds = max_bytes, wait_seconds
        self._key = os.environ.get(KEY) or secrets.token_hex(32)
        self._lock = threading.Lock()
        self._is_closed = False
        self._workers = {self._start() for _ in range(workers)}
        self._idle: queue.LifoQueue[ReaderProcess] = queue.LifoQueue()
        for worker in self._workers:
            self._idle.put(worker)

    def read(self, data: bytes, frame: int = 0) -> Study:
        """Read one DICOM, raster or MATLAB file.

        Args:
            data: The whole file, as it came.
            frame: Which frame of a multi-frame file, from 0. Of a bone scan whose views are known (MATLAB, or DICOM with coded
                detectors) 0 is the anterior view and 1 the posterior; the tag ViewPosition tells.

        Returns:
            A study with one frame.

        Raises:
            FileError: The file is at fault; see MESSAGES for the codes.
            BusyError: All processes stayed busy.
            UsageError: The file has no such frame.
        """
        if frame < 0:
            raise UsageError("frames count from 0")
        request: wire.Header = {"verb": "read", "frame": frame}
        return self._ask(
            request,
            data,
            wire.MAX_STUDY_BYTES,
            lambda reply, body: wire.unpack_reply(reply, body, hashlib.sha256(data).hexdigest()),
        )

    def read_dated(self, data: bytes) -> DatedStudy:
        """Read one file and the day of its examination: for curation, a process of its own that keeps no day; never for a page.

        Raises:
            FileError: The file is at fault; see MESSAGES for the codes.
            BusyError: All processes stayed busy.
        """
        return self._ask(
            {"verb": "read_dated", "frame": 0},
            data,
            wire.MAX_STUDY_BYTES,
            lambda reply, body: wire.unpack_dated(reply, body, hashlib.sha256(data).hexdigest()),
        )

    def read_series(self, data: bytes) -> Series:
        """Read the slices in a zip file; nothing is written to disk.

        Raises:
            FileError: E_SERIES (no zip file, or no readable image in it), E_BOMB, E_TOO_LARGE, E_CRASH or E_TIMEOUT.
            BusyError: All processes stayed busy.
        """
        return read_files(self.unpack(data), self.read)

    def unpack(self, data: bytes) -> list[File]:
        """Unpack a zip file; nothing is written to disk. See zip_file.unpack_zip.

        Returns:
            Display name, and content or error code, of every file.

        Raises:
            FileError: E_SERIES (no zip file), E_BOMB, E_TOO_LARGE, E_CRASH or E_TIMEOUT.
            BusyError: All processes stayed busy.
        """
        return self._ask({"verb": "unpack"}, data, vocabulary.MAX_UNPACKED_BYTES, wire.unpack_files)

    def read_folder(self, folder: Path) -> Series:
        """Read the slices that lie directly in a folder of the server.

        Raises:
            FileError: E_SERIES (no folder, or no readable image in it), E_BOMB, E_CRASH or E_TIMEOUT.
            BusyError: All processes stayed busy.
        """
        return read_files(folder_files(folder, self._max_bytes), self.read)

    def read_table(self, data: bytes) -> LabelTable:
        """Read a hospital's table of labels; see label_table.parse_table.

        Raises:
            TableError: E_LABEL_TABLE or E_HEAD.
            FileError: E_TOO_LARGE, E_CRASH or E_TIMEOUT.
            BusyError: All processes stayed busy.
        """
        return self._ask({"verb": "table"}, data, wire.MAX_TABLE_BYTES, wire.unpack_table)

    def read_voc(self, data: bytes) -> VocFile:
        """Read the boxes of a Pascal VOC file.

        Raises:
            VocError: The file cannot be used.
            FileError: E_CRASH or E_TIMEOUT.
            BusyError: All processes stayed busy.
        """
        if len(data) > MAX_XML_BYTES:
            raise VocError(TOO_LARGE)
        return self._ask({"verb": "voc"}, data, 0, lambda reply, _: wire.unpack_voc(reply))

    def derive(self, plan: Plan, source: bytes = b"") -> dict[str, bytes]:
        """DICOM objects of a result; see derived.objects.derive.

        Args:
            plan: The result.
            source: The file that was screened: its patient and study are copied. Without it the objects are de-identified.

        Returns:
            Bytes by file name. With a source they name the patient: for the command line and the archive, never for a page.

        Raises:
            FileError: E_BURNED_IN, E_TAG (the source), E_TOO_LARGE, E_CRASH or E_TIMEOUT.
            BusyError: All processes stayed busy.
        """
        header, body = pack_plan(plan)
        request: wire.Header = {"verb": "derive", "plan": header}
        files = self._ask(request, body + source, vocabulary.MAX_UNPACKED_BYTES, wire.unpack_files)
        return {name: content for name, content in files if isinstance(content, bytes)}

    def deidentify(self, data: bytes, salt: str) -> bytes:
        """A copy of a DICOM image without what names its patient; see deidentify.deidentify.

        Raises:
            FileError: The file is at fault, or text in its pixels is not excluded (E_BURNED_IN).
            BusyError: All processes stayed busy.
        """
        request: wire.Header = {"verb": "deidentify", "salt": salt}
        ((_, copy),) = self._ask(request, data, vocabulary.MAX_UNPACKED_BYTES, wire.unpack_files)
        assert isinstance(copy, bytes)
        return copy

    def hash_keys(self, values: Sequence[str], kind: Kind) -> list[str]:
        """The keyed hashes that a study has for the same ids, "" for empty ones; see keys.keyed_hash."""
        return [keyed_hash(value, kind, self._key.encode()) for value in values]

    @property
    def max_bytes(self) -> int:
        """Largest file."""
        return self._max_bytes

    def _ask(
        self, request: wire.Header, data: bytes, max_reply_bytes: int, unpack: Callable[[wire.Header, bytes], T]
    ) -> T:
        if len(data) > self._max_bytes:
            raise FileError("E_TOO_LARGE", f"{len(data)} bytes, at most {self._max_bytes}")
        worker = self._take()
        try:
            return unpack(*worker.ask(request, data, max_reply_bytes))
        except Gone as gone:
            worker.close()
            raise FileError("E_TIMEOUT" if gone.is_late else "E_CRASH", "") from gone
        except wire.WireError as error:
            worker.close()
            raise FileError("E_CRASH", "") from error
        finally:
            self._give_back(worker)

    def close(self) -> None:
        """End all processes; calls under way fail."""
        with self._lock:
            self._is_closed = True
            workers = list(self._workers)
        for worker in workers:
            worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids, for supervision and tests."""
        with self._lock:
            return tuple(worker.pid for worker in self._workers)

    def _start(self) -> ReaderProcess:
        return ReaderProcess(self._memory_bytes, self._seconds, self._key)

    def _take(self) -> ReaderProcess:
        try:
            worker = self._idle.get(timeout=self._wait_seconds)
        except queue.Empty:
            raise BusyError(f"no reader was free for {self._wait_seconds:g} s") from None
        if self._is_closed:
            self._idle.put(worker)
            raise BusyError("the reader is closed")
        # It may have died in the meantime, through no fault of this file.
        return worker if worker.is_alive else self._replace(worker)

    def _give_back(self, worker: ReaderProcess) -> None:
        self._idle.put(worker if worker.is_alive else self._replace(worker))

    def _replace(self, worker: ReaderProcess) -> ReaderProcess:
        worker.close()
        with self._lock:
            if self._is_closed:
                return worker
            self._workers.discard(worker)
            fresh = self._start()
            self._workers.add(fresh)
        return fresh


_shared: Reader | None = None
_shared_lock = threading.Lock()


def shared_reader() -> Reader:
    """The Reader of this process: started at the first call, ended with the process."""
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = Reader()
            atexit.register(_shared.close)
        return _shared
