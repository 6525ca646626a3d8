"""Zip files and folders of slices: order, groups, and archives that lie or explode (F30, F31)."""

import hashlib
import os
import signal
import struct
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from io_files import dicom, picture, ramp
from PIL import Image

from core.errors import FileError
from core.io import series, vocabulary
from core.io.reader import Reader, shared_reader
from core.io.series import Series
from core.records import Study


def ct(place: float | None = 0, **elements: object) -> bytes:
    """A slice whose every pixel differs from that of other places."""
    stored = ramp() + np.uint16(0 if place is None else round(place) + 500)
    facts: dict[str, object] = {"Modality": "CT", "PatientID": "one", "PixelSpacing": [0.8, 0.8], "SliceThickness": 2.5}
    if place is not None:
        facts |= {"ImagePositionPatient": [-10, 20, place], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
    return dicom(stored, **(facts | elements))


def archive(*files: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w", method) as target:
        for name, content in files:
            target.writestr(zipfile.ZipInfo(name), content, method)
    return out.getvalue()


def read(data: bytes) -> Series:
    return shared_reader().read_series(data)


def places(found: Series) -> list[str | None]:
    return [study.tags.get("SlicePosition") for study in found.studies]


def refused(data: bytes) -> str:
    with pytest.raises(FileError) as caught:
        read(data)
    return caught.value.code


@pytest.fixture(autouse=True)
def same_reader() -> Iterator[None]:
    """No archive here may cost a process."""
    pids = shared_reader().pids
    yield
    assert shared_reader().pids == pids


# --- good archives ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_shuffled_slices_come_in_order_of_position(method: int) -> None:
    order = [3, -2, 100, 0, -45, 7]
    files = [(f"study/series/{k}.dcm", ct(2.5 * place)) for k, place in enumerate(order)]
    found = read(archive(*files, method=method))
    assert places(found) == [f"{2.5 * place:.2f}" for place in sorted(order)]
    assert found.failures == ()
    for study, place in zip(found.studies, sorted(order), strict=True):
        assert study.frame.pixels[0, 0] == round(2.5 * place) + 500
        assert (study.frame.unit, study.container) == ("HU", "dicom")


def test_without_positions_names_give_the_order() -> None:
    found = read(archive(*[(f"{k}.dcm", ct(None, KVP=f"{k}")) for k in (3, 1, 2)]))
    assert [study.tags["KVP"] for study in found.studies] == ["1", "2", "3"]


def test_a_slice_without_position_comes_last() -> None:
    assert places(read(archive(("a", ct(None)), ("b", ct(5)), ("c", ct(-5))))) == ["-5.00", "5.00", None]


def test_pictures_are_a_series_too() -> None:
    grey = [picture(Image.fromarray(np.roll(ramp(8), k)), "PNG") for k in range(3)]
    assert len(read(archive(*[(f"{k}.png", data) for k, data in enumerate(grey)])).studies) == 3


def test_folders_and_hidden_files_are_left_out() -> None:
    noise = [("a/", b""), ("b\\", b""), ("__MACOSX/a/._1.dcm", b"x"), (".DS_Store", b"x"), ("a/.hidden", b"x")]
    found = read(archive(("a/1.dcm", ct()), *noise))
    assert (len(found.studies), found.failures) == (1, ())


def test_files_that_fail_are_listed_with_their_code() -> None:
    found = read(
        archive(("1.dcm", ct()), ("DICOMDIR", b"no image"), ("cut.dcm", ct(1)[:2000]), ("tag.dcm", ct(2, Rows=None)))
    )
    assert places(found) == ["0.00"]
    assert found.failures == (("DICOMDIR", "E_NOT_IMAGE"), ("cut.dcm", "E_TRUNCATED"), ("tag.dcm", "E_TAG"))


# --- what is one series ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "elements",
    [
        {"PatientID": "two"},
        {"PixelSpacing": [0.9, 0.9]},
        {"Modality": "CR"},
        {"ConvolutionKernel": "B60f"},
        {"SliceThickness": 5},
    ],
)
def test_the_largest_group_is_kept(elements: dict[str, object]) -> None:
    files = [("1", ct(1)), ("2", ct(2, **elements)), ("3", ct(3)), ("4", ct(4, **elements)), ("5", ct(5))]
    found = read(archive(*files))
    assert places(found) == ["1.00", "3.00", "5.00"]
    assert found.failures == (("2", "E_SERIES"), ("4", "E_SERIES"))


def test_another_size_is_another_series() -> None:
    scout = dicom(ramp(shape=(64, 64)), Modality="CT", PatientID="one", PixelSpacing=[0.8, 0.8], SliceThickness=2.5)
    found = read(archive(("1", ct(1)), ("2", ct(2)), ("scout", scout)))
    assert (places(found), found.failures) == (["1.00", "2.00"], (("scout", "E_SERIES"),))


def test_a_file_that_comes_twice_is_kept_once() -> None:
    found = read(archive(("a", ct(1)), ("b", ct(1)), ("c", ct(2))))
    assert (places(found), found.failures) == (["1.00", "2.00"], (("b", "E_SERIES"),))


# --- archives without a series ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\3\4 and nothing else",
        ct(),
        archive(),
        archive(("empty/", b"")),
        archive(("a.txt", b"text"), ("b.pdf", b"%PDF-1.7")),
        b"MZ" + archive(("1.dcm", ct())),
    ],
    ids=["nothing", "torn", "no archive", "empty", "only a folder", "no image", "with a prefix"],
)
def test_no_readable_image(data: bytes) -> None:
    assert refused(data) == "E_SERIES"


def test_an_archive_within_an_archive_stays_closed() -> None:
    inner = archive(("1.dcm", ct()))
    assert refused(archive(("inner.zip", inner))) == "E_SERIES"
    found = read(archive(("1.dcm", ct()), ("inner.zip", inner)))
    assert found.failures == (("inner.zip", "E_NOT_IMAGE"),)


def test_cut_anywhere() -> None:
    data = archive(("1.dcm", ct(1)), ("2.dcm", ct(2)))
    assert {refused(data[:length]) for length in (10, 500, len(data) // 2, len(data) - 5)} == {"E_SERIES"}


# --- hostile archives ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("/etc/passwd", "passwd"),
        ("..\\..\\win.ini", "win.ini"),
        ("C:\\Windows\\win.ini", "win.ini"),
        ("a/b\x1b[2J\r\n.dcm", "b\\x1b[2J\\r\\n.dcm"),
        ("right\u202eleft", "right\\u202eleft"),
        ("환자 사진.dcm", "환자 사진.dcm"),
        ("x" * 300 + ".dcm", "x" * 60 + ".dcm"),
    ],
)
def test_names_are_only_shown(name: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read(archive(("1.dcm", ct()), (name, b"no image"))).failures == ((shown, "E_NOT_IMAGE"),)
    assert list(tmp_path.iterdir()) == []


def test_equal_names_are_different_files() -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = archive(("1.dcm", ct(1)), ("1.dcm", ct(2)), ("1.DCM", ct(3)))
    assert places(read(data)) == ["1.00", "2.00", "3.00"]


@pytest.mark.parametrize(("n_mib", "level"), [(50, 9), (700, 1)], ids=["ratio", "bytes"])
def test_bomb(n_mib: int, level: int) -> None:
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as target:
        target.writestr("1.dcm", ct())
        with target.open("bomb", "w") as stream:
            for _ in range(n_mib):
                stream.write(bytes(2**20))
    assert len(out.getvalue()) < 8e6
    assert refused(out.getvalue()) == "E_BOMB"


def test_many_names_for_the_same_bytes() -> None:
    """Overlapping entries, as in Fifield's bomb: 300 kB that 4000 entries point at."""
    noise = np.random.default_rng(7).bytes(300_000)
    data = archive(("0000", noise), method=zipfile.ZIP_STORED)
    start = data.index(b"PK\1\2")
    entry, end = data[start : data.index(b"PK\5\6")], data[data.index(b"PK\5\6") :]
    entries = b"".join(entry.replace(b"0000", f"{k:04d}".encode()) for k in range(4000))
    end = end[:8] + struct.pack("<2H2I", 4000, 4000, len(entries), start) + end[20:]
    assert refused(data[:start] + entries + end) in ("E_BOMB", "E_SERIES")


@pytest.mark.parametrize("size", [10, 2**31 - 1])
def test_lying_sizes(size: int) -> None:
    """The size of the second file, in both its headers, is not what comes out."""
    good = ct(2, PatientComments="a length of its own")
    data = archive(("1.dcm", ct(1)), ("2.dcm", good)).replace(struct.pack("<I", len(good)), struct.pack("<I", size))
    found = read(data)
    if size < len(good):
        assert (places(found), found.failures) == (["1.00"], (("2.dcm", "E_SERIES"),))
    else:
        assert (places(found), found.failures) == (["1.00", "2.00"], ())


def test_damaged_file() -> None:
    data = bytearray(archive(("1.dcm", ct(1)), ("2.dcm", ct(2)), method=zipfile.ZIP_STORED))
    data[data.index(b"2.dcm") + 3000] ^= 0xFF
    found = read(bytes(data))
    assert (places(found), found.failures) == (["1.00"], (("2.dcm", "E_SERIES"),))


def with_flag(data: bytes, name: bytes, flag: int) -> bytes:
    """Set `flag` in both headers of a file."""
    changed = bytearray(data)
    for signature, flags_at, name_at in ((b"PK\3\4", 6, 30), (b"PK\1\2", 8, 46)):
        at = next(k for k in range(len(data)) if data.startswith(signature, k) and data.startswith(name, k + name_at))
        changed[at + flags_at] |= flag
    return bytes(changed)


def test_encrypted() -> None:
    data = with_flag(archive(("1.dcm", ct(1)), ("2.dcm", ct(2))), b"2.dcm", 0x1)
    assert read(data).failures == (("2.dcm", "E_SERIES"),)
    assert refused(with_flag(data, b"1.dcm", 0x1)) == "E_SERIES"


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_unusual_packing(method: int) -> None:
    assert refused(archive(("1.dcm", ct()), method=method)) == "E_SERIES"


@pytest.mark.parametrize(("n", "code"), [(5000, "E_SERIES"), (5001, "E_BOMB")])
def test_number_of_files(n: int, code: str) -> None:
    files = [(f".{k}", b"") for k in range(n)]
    assert refused(archive(*files, method=zipfile.ZIP_STORED)) == code


def test_too_large_is_refused_unsent() -> None:
    with Reader(workers=1, max_bytes=1000) as reader, pytest.raises(FileError, match="E_TOO_LARGE"):
        reader.read_series(archive(("1.dcm", ct())))


# --- the reader behind it --------------------------------------------------------------------------------------------


def test_too_many_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    data = archive(("1", ct(1)), ("2", ct(2)), ("3", ct(3)))
    monkeypatch.setattr(series, "MAX_SERIES_BYTES", 2 * ramp().size * 4)
    assert refused(data) == "E_BOMB"
    monkeypatch.setattr(series, "MAX_SERIES_BYTES", 3 * ramp().size * 4)
    assert len(read(data).studies) == 3


def test_a_crash_costs_one_slice() -> None:
    with Reader(workers=1, seconds=1) as reader:
        reader.read(ct())  # started and warm

        def read_second_by_a_dead_process(content: bytes) -> Study:
            if content == ct(2):
                os.kill(reader.pids[0], signal.SIGSTOP)
            return reader.read(content)

        found = series.read_files([(str(k), ct(k)) for k in range(4)], read_second_by_a_dead_process)
        assert (places(found), found.failures) == (["0.00", "1.00", "3.00"], (("2", "E_TIMEOUT"),))


@pytest.mark.parametrize(
    ("codes", "is_ended"), [(("E_CRASH", "E_TIMEOUT"), False), (("E_CRASH", "E_TIMEOUT", "E_CRASH"), True)]
)
def test_three_crashes_cost_the_series(codes: tuple[str, ...], is_ended: bool) -> None:
    left = iter(codes)

    def fail_first(content: bytes) -> Study:
        for code in left:
            raise FileError(code)
        return shared_reader().read(content)

    files = [(str(k), ct(k)) for k in range(5)]
    if is_ended:
        with pytest.raises(FileError, match="E_CRASH"):
            series.read_files(files, fail_first)
    else:
        assert series.read_files(files, fail_first).failures == tuple((str(k), code) for k, code in enumerate(codes))


# --- folders ---------------------------------------------------------------------------------------------------------


def test_folder(tmp_path: Path) -> None:
    for name, content in {"a.dcm": ct(9), "b": ct(-9), "c.txt": b"text", ".hidden": b"", "d.dcm": ct()[:900]}.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "e.dcm").write_bytes(ct(4))
    found = shared_reader().read_folder(tmp_path)
    assert places(found) == ["-9.00", "9.00"]
    assert found.failures == (("c.txt", "E_NOT_IMAGE"), ("d.dcm", "E_TRUNCATED"))


def test_folder_without_images_or_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(FileError, match="E_SERIES"):
            shared_reader().read_folder(folder)
    (tmp_path / "a").write_bytes(ct())
    (tmp_path / "b").write_bytes(ct(1))
    monkeypatch.setattr(vocabulary, "MAX_FILES", 1)
    with pytest.raises(FileError, match="E_BOMB"):
        shared_reader().read_folder(tmp_path)


def test_large_file_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(ct())
    (tmp_path / "b").write_bytes(ct(1) + bytes(100_000))
    with Reader(workers=1, max_bytes=len(ct()) + 1000) as reader:
        assert reader.read_folder(tmp_path).failures == (("b", "E_TOO_LARGE"),)


def test_real_slices_lie_in_the_order_of_their_numbers(data_dir: Path) -> None:
    folder = data_dir / "ct_vertebra" / "ACRIN-FLT-Breast_001"
    numbers = {hashlib.sha256(path.read_bytes()).hexdigest(): path.name for path in folder.glob("*.dcm")}
    found = shared_reader().read_folder(folder)
    names = [numbers[study.file_sha256] for study in found.studies]
    assert found.failures == ()
    assert names in (sorted(numbers.values()), sorted(numbers.values(), reverse=True))
