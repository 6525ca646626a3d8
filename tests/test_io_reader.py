"""The reader process: crashes, hangs, bombs and lies cost one answer; the server lives, and no name leaves the worker."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom.uid as uids
import pytest
from io_files import (
    code_of_mutant,
    compressed,
    describe,
    dicom,
    finish,
    jpeg,
    picture,
    ramp,
    read,
    refusal,
    rgb_picture,
)
from numpy.testing import assert_array_equal
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from core.errors import MESSAGES, BusyError, FileError, TableError, UsageError
from core.io import vocabulary, wire
from core.io.reader import Reader, shared_reader
from core.records import Frame, Study

MEMORY_BYTES = 1_500_000_000


@pytest.fixture
def single() -> Iterator[Reader]:
    """One process, short limits."""
    with Reader(workers=1, seconds=1, wait_seconds=0.5) as reader:
        reader.read(dicom(ramp()))  # started and warm
        yield reader


def peak_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


# --- faults ----------------------------------------------------------------------------------------------------------


def test_hang_is_a_timeout_and_the_next_call_works(single: Reader) -> None:
    (pid,) = single.pids
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    assert refusal(dicom(ramp()), reader=single) == "E_TIMEOUT"
    assert time.monotonic() - began < 3
    assert_array_equal(single.read(dicom(ramp())).frame.pixels, ramp())
    assert single.pids != (pid,)


def test_kill_in_mid_request_is_a_crash_and_the_next_call_works(single: Reader) -> None:
    (pid,) = single.pids
    os.kill(pid, signal.SIGSTOP)
    killer = threading.Timer(0.3, os.kill, (pid, signal.SIGKILL))
    killer.start()
    assert refusal(dicom(ramp()), reader=single) == "E_CRASH"
    killer.join()
    assert_array_equal(single.read(dicom(ramp())).frame.pixels, ramp())


def test_kill_while_idle_is_no_fault_of_the_next_file(single: Reader) -> None:
    (pid,) = single.pids
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert_array_equal(single.read(dicom(ramp())).frame.pixels, ramp())


def test_busy(single: Reader) -> None:
    os.kill(single.pids[0], signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(refusal, dicom(ramp()), 0, single)
        time.sleep(0.2)
        with pytest.raises(BusyError):
            single.read(dicom(ramp()))
        assert first.result() == "E_TIMEOUT"


def test_too_large_is_refused_unsent() -> None:
    with Reader(workers=1, max_bytes=1000) as reader:
        os.kill(reader.pids[0], signal.SIGSTOP)
        assert refusal(bytes(1001), reader=reader) == "E_TOO_LARGE"


def test_memory_limit_is_a_bomb_and_not_the_end() -> None:
    large = np.zeros((6000, 6000), np.uint16)
    with Reader(workers=1, memory_bytes=300_000_000) as reader:
        pids = reader.pids
        assert refusal(dicom(large), reader=reader) == "E_BOMB"
        assert_array_equal(reader.read(dicom(ramp())).frame.pixels, ramp())
        assert reader.pids == pids
        assert peak_bytes(pids[0]) < 300_000_000


def test_the_largest_frame_fits_into_the_memory() -> None:
    large = np.zeros((6200, 6400), np.uint16)
    large[100:-100] = 1000
    with Reader(workers=1) as reader:
        frame = reader.read(dicom(large, RescaleSlope=2, RescaleIntercept=1, PixelPaddingValue=0)).frame
        assert frame.pixels.min() == frame.pixels.max() == 2001
        assert peak_bytes(reader.pids[0]) < MEMORY_BYTES


def test_closed_reader() -> None:
    reader = Reader(workers=1, wait_seconds=0.1)
    reader.close()
    reader.close()
    with pytest.raises(BusyError):
        reader.read(dicom(ramp()))


def test_one_shared_reader() -> None:
    with ThreadPoolExecutor(8) as pool:
        readers = set(pool.map(lambda _: shared_reader(), range(16)))
    assert len(readers) == 1


def test_eight_threads_get_their_own_pixels() -> None:
    files = [dicom(np.roll(ramp(), shift)) for shift in range(40)]
    with ThreadPoolExecutor(8) as pool:
        studies = list(pool.map(read, files))
    for shift, study in enumerate(studies):
        assert_array_equal(study.frame.pixels, np.roll(ramp(), shift))


def test_started_from_anywhere_without_a_word_to_the_server(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[1]
    (tmp_path / "core.py").write_text("raise SystemExit('the wrong package')")
    code = (
        f"import sys; sys.path.insert(0, {str(root)!r})\n"
        "from core.io.reader import shared_reader\n"
        "data = open('file.dcm', 'rb').read()\n"
        "print(shared_reader().read(data).frame.pixels.shape)\n"
        "print(sorted({'pydicom', 'gdcm', 'PIL', 'torch'} & set(sys.modules)))"
    )
    (tmp_path / "file.dcm").write_bytes(dicom(ramp()))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("(48, 64)\n[]\n", "")


# --- what comes back -------------------------------------------------------------------------------------------------

MARKER = "ZZPLANTEDZZ"
NAMING_KEYWORDS = [
    "PatientName",
    "PatientID",
    "OtherPatientNames",
    "PatientAddress",
    "PatientComments",
    "PatientBirthName",
    "EthnicGroup",
    "Occupation",
    "InstitutionName",
    "InstitutionAddress",
    "InstitutionalDepartmentName",
    "StationName",
    "ReferringPhysicianName",
    "OperatorsName",
    "PerformingPhysicianName",
    "StudyDescription",
    "SeriesDescription",
    "StudyID",
    "AccessionNumber",
    "ImageComments",
    "AdditionalPatientHistory",
    "DeviceSerialNumber",
    "ProtocolName",
    "RequestedProcedureDescription",
    "DerivationDescription",
    "ContrastBolusAgent",
    "Manufacturer",
    "ManufacturerModelName",
    "SoftwareVersions",
]


def planted(**elements: object) -> Dataset:
    dataset = describe(ramp(), **elements)
    for keyword in NAMING_KEYWORDS:
        setattr(dataset, keyword, MARKER)
    item = Dataset()
    item.PatientName = item.PatientID = MARKER
    dataset.OtherPatientIDsSequence = Sequence([item])
    block = dataset.private_block(0x0011, MARKER, create=True)
    block.add_new(1, "LO", MARKER)
    dataset.StudyInstanceUID = "1.2.3.777777"
    dataset.StudyDate, dataset.PatientBirthDate = "20240229", "19600301"
    return dataset


def test_nothing_that_names_a_person_comes_back(capfd: pytest.CaptureFixture[str]) -> None:
    broken = finish(planted(BitsStored=17))
    study = read(finish(planted(PatientSex="F")))
    with pytest.raises(FileError) as caught:
        read(broken)
    with pytest.raises(FileError) as cut:
        read(finish(planted())[:-3000])
    said = capfd.readouterr()
    everything = "".join(map(repr, (study, caught.value, cut.value, said.out, said.err)))
    for secret in (MARKER, "19600301", "20240229", "777777"):
        assert secret not in everything
    assert study.tags["ContrastBolusAgent"] == "yes"
    assert (study.age_years, study.sex) == (63, "F")
    assert set(study.tags) <= vocabulary.TAGS


def test_pseudonym_is_keyed_and_stable(monkeypatch: pytest.MonkeyPatch) -> None:
    data, other = dicom(ramp(), PatientID="A1 "), dicom(ramp(), PatientID="A2")
    monkeypatch.setenv("FIVEFOLD_PSEUDONYM_KEY", "secret")
    found = []
    for _ in range(2):
        with Reader(workers=1) as reader:
            found.append(reader.read(data).pseudonym)
            assert reader.read(other).pseudonym not in found
            assert reader.read(dicom(ramp())).pseudonym is None
    monkeypatch.delenv("FIVEFOLD_PSEUDONYM_KEY")
    with Reader(workers=1) as reader:
        found.append(reader.read(data).pseudonym)
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize(
    ("elements", "years"),
    [
        ({"PatientAge": "064Y"}, 64),
        ({"PatientAge": "018M"}, 1),
        ({"PatientAge": "010W"}, 0),
        ({"PatientAge": "400Y"}, None),
        ({"PatientAge": "old"}, None),
        ({"PatientBirthDate": "19600301", "AcquisitionDate": "20240301"}, 64),
        ({"PatientBirthDate": "20240301", "StudyDate": "19600301"}, None),
        ({"PatientBirthDate": "19600301"}, None),
        ({}, None),
    ],
)
def test_age(elements: dict[str, str], years: int | None) -> None:
    # pydicom would not write what is no age.
    data = dicom(ramp(), **(elements | ({"PatientAge": "012Y"} if elements.get("PatientAge") == "old" else {})))
    assert read(data.replace(b"012Y", b"old ")).age_years == years


def test_weight_sex_and_phantom() -> None:
    study = read(dicom(ramp(), PatientWeight=71.5, PatientSex="O", ImageType=["DERIVED", "SECONDARY", "PHANTOM"]))
    assert (study.weight_kg, study.sex, study.is_phantom) == (71.5, "O", True)
    study = read(dicom(ramp(), PatientWeight=0, PatientSex="U", ImageType=["PHANTOM", "PRIMARY", "AXIAL"]))
    assert (study.weight_kg, study.sex, study.is_phantom) == (None, None, False)


def test_tags_are_short_and_printable() -> None:
    study = read(dicom(ramp(), BodyPartExamined="CHEST", ViewPosition="PA", ImageType=["DERIVED"] * 20, KVP="120"))
    assert study.tags["BodyPartExamined"] == "CHEST"
    assert (study.tags["KVP"], study.tags["ViewPosition"], study.tags["NumberOfFrames"]) == ("120", "PA", "1")
    assert len(study.tags["ImageType"]) <= vocabulary.MAX_TAG_CHARS
    escape = read(dicom(ramp(), BodyPartExamined="CHEST").replace(b"CHEST ", b"A\x1b[2J\xff"))
    assert escape.tags["BodyPartExamined"] == "A[2J"


def test_laterality() -> None:
    assert read(dicom(ramp(), ImageLaterality="L", Laterality="R")).laterality == "L"
    assert read(dicom(ramp(), Laterality="R")).laterality == "R"
    assert read(dicom(ramp(), Laterality="B")).laterality is None


@pytest.mark.parametrize(
    ("corner", "cosines", "place"),
    [
        ([-170, -160, 12.345], [1, 0, 0, 0, 1, 0], "12.35"),
        ([5, 6, -0.001], [1, 0, 0, 0, 1, 0], "0.00"),
        ([5, 6, 7], [0, 1, 0, 0, 0, -1], "-5.00"),  # sagittal
        ([5, 6, 7], [1, 0, 0, 0, 0, -1], "6.00"),  # coronal
        ([0, 30, 40], [1, 0, 0, 0, 0.8, 0.6], "14.00"),  # tilted gantry: the normal is (0, -0.6, 0.8)
        ([5, 6, 7], [1, 0, 0, 1, 0, 0], None),
        ([5, 6, 7], [1, 0, 0], None),
        ([5, 6, 1e9], [1, 0, 0, 0, 1, 0], None),
        (None, [1, 0, 0, 0, 1, 0], None),
        ([5, 6, 7], None, None),
    ],
)
def test_slice_position(corner: object, cosines: object, place: str | None) -> None:
    study = read(dicom(ramp(), ImagePositionPatient=corner, ImageOrientationPatient=cosines))
    assert study.tags.get("SlicePosition") == place


# --- anterior and posterior ------------------------------------------------------------------------------------------


def detectors(*views: tuple[str, str] | None) -> Sequence:
    """One detector for each code value and meaning."""
    items = []
    for view in views:
        item, code = Dataset(), Dataset()
        if view is not None:
            code.CodeValue, code.CodeMeaning = view
            item.ViewCodeSequence = Sequence([code])
        items.append(item)
    return Sequence(items)


ANTERIOR, POSTERIOR = ("399321004", "Anterior projection"), ("399001007", "Posterior projection")


def nuclear(vector: list[int] | None, views: Sequence, n_frames: int = 2, **elements: object) -> bytes:
    """Frame k holds the value k."""
    frames = np.broadcast_to(np.arange(n_frames, dtype=np.uint16)[:, None, None], (n_frames, 48, 64)).copy()
    facts = {"Modality": "NM", "DetectorVector": vector, "DetectorInformationSequence": views} | elements
    return dicom(frames if n_frames > 1 else frames[0], **facts)


@pytest.mark.parametrize(
    ("vector", "views", "order", "tags"),
    [
        ([1, 2], [ANTERIOR, POSTERIOR], [0, 1], ["A", "P"]),
        ([2, 1], [ANTERIOR, POSTERIOR], [1, 0], ["A", "P"]),
        ([1, 2], [POSTERIOR, ANTERIOR], [1, 0], ["A", "P"]),
        ([1, 2], [("G-5216", ""), ("G-5215", "")], [1, 0], ["A", "P"]),
        ([1, 2], [("ours", "POSTERIOR"), ("ours", "Anterior projection")], [1, 0], ["A", "P"]),
        ([1, 2], [None, ANTERIOR], [1, 0], ["A", None]),
        ([1, 1, 2, 2], [POSTERIOR, ANTERIOR], [2, 0, 1, 3], ["A", "P", "P", "A"]),
        ([1, 2], [None, POSTERIOR], [0, 1], [None, "P"]),  # the other one need not be anterior
        ([1, 2], [("399074003", "Left anterior oblique"), POSTERIOR], [0, 1], [None, "P"]),
        ([1, 7], [POSTERIOR, ANTERIOR], [0, 1], ["P", None]),
        ([1, 2, 2], [POSTERIOR, ANTERIOR], [0, 1], [None, None]),
        (None, [POSTERIOR, ANTERIOR], [0, 1], [None, None]),
        ([1, 2], [], [0, 1], [None, None]),
    ],
)
def test_anterior_view_comes_first(vector: Any, views: Any, order: list[int], tags: list[str | None]) -> None:
    data = nuclear(vector, detectors(*views), len(order))
    studies = [read(data, index) for index in range(len(order))]
    assert [int(study.frame.pixels[0, 0]) for study in studies] == order
    assert [study.tags.get("ViewPosition") for study in studies] == tags
    first = vocabulary.ANTERIOR_VIEW if tags[0] == "A" else vocabulary.FIRST_FRAME
    assert [study.notes for study in studies] == [(first,), *[(vocabulary.CHOSEN_FRAME,)] * (len(order) - 1)]
    with pytest.raises(UsageError):
        read(data, len(order))


def test_frames_of_one_view_are_frames() -> None:
    study = read(nuclear([1, 1], detectors(ANTERIOR)))
    assert (study.tags["ViewPosition"], study.notes) == ("A", (vocabulary.FIRST_FRAME,))


@pytest.mark.parametrize("vector", [None, [1]])
def test_view_of_a_single_frame(vector: Any) -> None:
    assert read(nuclear(vector, detectors(POSTERIOR), 1)).tags["ViewPosition"] == "P"
    assert "ViewPosition" not in read(nuclear(vector, detectors(None), 1)).tags
    assert read(nuclear(vector, detectors(POSTERIOR), 1, Modality="CR", ViewPosition="AP")).tags["ViewPosition"] == "AP"


# --- a worker that lies ----------------------------------------------------------------------------------------------


def honest() -> tuple[dict[str, Any], bytes]:
    study = Study((Frame(np.ones((2, 3), np.float32), "relative", (1, 1), (2, 3), np.eye(2, 3) > 0),), "", "dicom")
    header, body = wire.pack_study(study)
    return json.loads(json.dumps(header)), b"".join(body)


def test_wire_round_trip() -> None:
    header, body = honest()
    study = wire.unpack_reply(header, body, "abc")
    assert study.file_sha256 == "abc"
    assert_array_equal(study.frame.pixels, np.ones((2, 3)))
    assert study.frame.padding is not None
    assert_array_equal(study.frame.padding, np.eye(2, 3) > 0)
    stream = BytesIO()
    wire.send(stream, header, body)
    stream.seek(0)
    assert wire.receive(stream, 1000) == (header, body)
    with pytest.raises(EOFError):
        wire.receive(stream, 1000)


@pytest.mark.parametrize(
    "lie",
    [
        {"shape": [3, 3]},
        {"shape": [0, 0]},
        {"shape": [2]},
        {"shape": [2**20, 2**20]},
        {"shape": None},
        {"unit": "object"},
        {"unit": "rgb"},
        {"unit": []},
        {"padded": False},
        {"container": "pickle"},
        {"tags": {"PatientName": "x"}},
        {"tags": {"Modality": "x" * 65}},
        {"tags": {"Modality": "\x1b[2J"}},
        {"tags": {"Modality": 7}},
        {"tags": ["Modality"]},
        {"tags": {"SlicePosition": "nan"}},
        {"notes": ["free text"]},
        {"notes": 7},
        {"sex": "secret"},
        {"pseudonym": "Doe"},
        {"pseudonym": 7},
        {"keys": {"accession": "Doe"}},
        {"keys": {"PatientID": "0" * 64}},
        {"keys": ["accession"]},
        {"age_years": float("nan")},
        {"age_years": "old"},
        {"window": [1]},
        {"window": [1, None]},
        {"spacing_mm": [1, float("inf")]},
        {"error": "E_NEW", "got": ""},
        {"error": [], "got": ""},
        {"error": "E_TAG", "got": 7},
        {"error": "E_TAG", "got": "\n"},
    ],
)
def test_lies_are_refused(lie: dict[str, object]) -> None:
    header, body = honest()
    with pytest.raises(wire.WireError):
        wire.unpack_reply(header | lie, body, "")


@pytest.mark.parametrize(
    "lie",
    [
        {},
        {"files": None},
        {"files": [["a"]]},
        {"files": [["a", 4]]},
        {"files": [["a", 6], ["b", -1]]},
        {"files": [["a", 5.0]]},
        {"files": [["a", 5], ["b", "E_NEW"]]},
        {"files": [["a", 5], ["b", None]]},
        {"files": [["a\n", 5]]},
        {"files": [["a" * 65, 5]]},
        {"files": [[7, 5]]},
        {"files": [["a", 5]] + [["b", 0]] * vocabulary.MAX_FILES},
    ],
)
def test_lies_about_an_archive_are_refused(lie: dict[str, object]) -> None:
    with pytest.raises(wire.WireError):
        wire.unpack_files(lie, b"12345")


def test_files_pass() -> None:
    files: list[tuple[str, bytes | str]] = [("a", b"12"), ("b", "E_SERIES"), ("c", b""), ("d", b"345")]
    header, body = wire.pack_files(files)
    assert wire.unpack_files(json.loads(json.dumps(header)), b"".join(body)) == files
    with pytest.raises(FileError, match="E_BOMB"):
        wire.unpack_files({"error": "E_BOMB", "got": ""}, b"")


def test_pixels_that_are_no_numbers_are_refused() -> None:
    header, body = honest()
    with pytest.raises(wire.WireError):
        wire.unpack_reply(header, np.float32("nan").tobytes() + body[4:], "")


def test_errors_pass() -> None:
    for code in MESSAGES.keys() - {"E_USAGE", "E_LABEL_TABLE", "E_HEAD"}:
        with pytest.raises(FileError, match=code):
            wire.unpack_reply({"error": code, "got": "Rows"}, b"", "")
    with pytest.raises(UsageError):
        wire.unpack_reply(wire.pack_error(UsageError("frame 2 of 1")), b"", "")
    with pytest.raises(TableError, match="E_HEAD"):
        wire.unpack_table(wire.pack_error(TableError("E_HEAD", "column 2 has no name")), b"")


@pytest.mark.parametrize(
    "message",
    [
        b"\0",
        b"\0\0\0\2" + bytes(7) + b"\1{}",
        b"\0\0\0\2" + bytes(8) + b"[]",
        b"\0\0\0\2" + bytes(8) + b"{{",
        b"\xff\xff\xff\xff" + bytes(8),
        b"\0\0\0\2" + b"\xff" * 8,
    ],
)
def test_malformed_messages_are_refused(message: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.receive(BytesIO(message), 1000)


def test_a_worker_that_lies_is_replaced(single: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    before = single.pids
    with monkeypatch.context() as patch:
        patch.setattr(vocabulary, "TAGS", frozenset())
        assert refusal(dicom(ramp()), reader=single) == "E_CRASH"
    assert single.pids != before
    assert_array_equal(single.read(dicom(ramp())).frame.pixels, ramp())


# --- fuzz ------------------------------------------------------------------------------------------------------------


def seeds() -> dict[str, bytes]:
    image, colour = Image.fromarray(ramp(8)), Image.fromarray(rgb_picture())
    return {
        "plain": dicom(ramp(), Modality="CT", RescaleSlope=1, RescaleIntercept=0, WindowCenter=1, WindowWidth=2),
        "deflated": dicom(ramp(), uids.DeflatedExplicitVRLittleEndian),
        "rle": compressed(ramp(), uids.RLELossless, "pydicom"),
        "jpeg2000": compressed(ramp(), uids.JPEG2000Lossless, "pylibjpeg"),
        "jpegls": compressed(ramp(), uids.JPEGLSLossless, "pyjpegls"),
        "png": picture(image, "PNG"),
        "tiff": picture(colour, "TIFF"),
        "bmp": picture(image, "BMP"),
        "jpeg": jpeg(rgb_picture()),
    }


@pytest.mark.parametrize("name", seeds())
def test_mutated_files_end_in_a_study_or_a_listed_error(name: str) -> None:
    seed, dice = seeds()[name], random.Random(name)
    with Reader(workers=1, seconds=2) as reader:
        codes = set()
        for _ in range(50):
            mutant = bytearray(seed)
            for _ in range(dice.randint(1, 8)):
                mutant[dice.randrange(len(mutant))] = dice.randrange(256)
            if dice.random() < 0.2:
                del mutant[dice.randrange(len(mutant)) :]
            codes.add(code_of_mutant(reader, bytes(mutant)))
        assert codes - {None} <= MESSAGES.keys()
        assert reader.read(dicom(ramp())).container == "dicom"
