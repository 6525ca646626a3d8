"""A folder of images before its table: what is kept of each, going on after a stop, archives that lie or explode (F30, F31)."""

import json
import stat
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from io_files import dicom, picture, ramp, read
from PIL import Image

from core.errors import BusyError, FileError
from core.evaluation import file_index
from core.evaluation.file_index import FileIndex, index_folder
from core.io import image_archive
from core.io.image_archive import NAMES, read_names, unpack_zip
from core.io.journal import Journal
from core.io.reader import Reader

SECRET = "CHANG-007"
Build = Callable[..., Path]


def film(shift: int = 0, **elements: object) -> bytes:
    return dicom(np.roll(ramp(), shift), **elements)


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@pytest.fixture
def archive(tmp_path: Path) -> Build:
    """Writes a zip file of names (or entries) and contents."""

    def build(*files: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
        path = tmp_path / "upload.zip"
        with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as target:
            warnings.simplefilter("ignore")  # of equal names
            for name, content in files:
                target.writestr(zipfile.ZipInfo(name) if isinstance(name, str) else name, content, method)
        return path

    return build


# --- folders ---------------------------------------------------------------------------------------------------------


def test_what_is_kept_of_each_file(tmp_path: Path) -> None:
    grey = picture(Image.fromarray(ramp(8)), "PNG")
    folder = fill(
        tmp_path / "study",
        {
            "b/2.dcm": film(1, PatientID=SECRET, AccessionNumber="A1", StudyDate="20240209", ImageLaterality="L"),
            "a.png": grey,
            "torn.dcm": film()[:900],
            "no image": b"text",
            "labels.csv": b"file,label\n",
            "Table.XLSX": b"",
            ".hidden": grey,
            "__MACOSX/a.png": grey,
            ".git/a.png": grey,
        },
    )
    (tmp_path / "outside.png").write_bytes(grey)
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    found = index_folder(folder)
    assert [(file.file, file.error) for file in found.files] == [
        ("a.png", None),
        ("b/2.dcm", None),
        ("link.png", "E_USAGE"),
        ("no image", "E_NOT_IMAGE"),
        ("torn.dcm", "E_TRUNCATED"),
    ]
    study, film_file = read((folder / "b/2.dcm").read_bytes()), found.files[1]
    assert (film_file.pixel_hash, film_file.side) == (study.pixel_hash, "L")
    assert dict(film_file.keys) == {"patient": study.pseudonym, **study.keys}
    assert found.files[0].pixel_hash == read(grey).pixel_hash
    assert all(file.name == file.file for file in found.files)


def test_progress_counts_every_file(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    index_folder(fill(tmp_path, {f"{k}": film(k) for k in range(3)}), progress=lambda *step: calls.append(step))
    assert calls == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_a_stopped_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fill(tmp_path / "images", {f"{SECRET}_{k}": film(k, PatientID=SECRET) for k in range(4)})
    path, asked = tmp_path / "index.jsonl", list[int]()
    once = Reader.read

    def failing(self: Reader, data: bytes, frame: int = 0) -> object:
        asked.append(len(data))
        if len(asked) == 3:
            raise BusyError("no reader was free")
        return once(self, data, frame)

    monkeypatch.setattr(Reader, "read", failing)
    with pytest.raises(BusyError):
        index_folder(folder, Journal(path, {}))
    found = index_folder(folder, Journal(path, {}))
    assert len(asked) == 5  # the two before the stop were not read again
    assert found == index_folder(folder)
    (folder / f"{SECRET}_0").write_bytes(film(9))
    assert index_folder(folder, Journal(path, {})).files[0].pixel_hash == read(film(9)).pixel_hash
    assert SECRET not in path.read_text() + repr(found)


def test_other_keys_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, path = fill(tmp_path / "images", {"1": film(PatientID="P")}), tmp_path / "index.jsonl"
    found: list[FileIndex] = []
    for secret in ("one", "two"):
        monkeypatch.setenv("FIVEFOLD_PSEUDONYM_KEY", secret)
        with Reader(workers=1) as reader:
            monkeypatch.setattr(file_index, "shared_reader", lambda reader=reader: reader)
            found.append(index_folder(folder, Journal(path, {})))
    assert found[0].files[0].keys != found[1].files[0].keys
    assert found[0].files[0].pixel_hash == found[1].files[0].pixel_hash


def test_a_file_that_is_too_large_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reader, "max_bytes", 100)
    assert index_folder(fill(tmp_path, {"1": film()})).files[0].error == "E_TOO_LARGE"


# --- archives --------------------------------------------------------------------------------------------------------


def test_an_archive_is_the_folder_it_was_made_of(archive: Build, tmp_path: Path) -> None:
    files = {"right/b.dcm": film(1), "right/a.dcm": film(2), "c.dcm": film(3), "labels.csv": b"file,label\n"}
    noise = [("right/", b""), ("__MACOSX/._a", b""), (".DS_Store", b"")]
    assert unpack_zip(archive(*files.items(), *noise), tmp_path / "out") == 4
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["000001", "000002", "000003", "000004", NAMES]
    plain = index_folder(fill(tmp_path / "plain", files))
    unpacked = index_folder(tmp_path / "out")
    assert [file.name for file in unpacked.files] == ["c.dcm", "right/a.dcm", "right/b.dcm"]
    assert [replace(file, file=file.name) for file in unpacked.files] == list(plain.files)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "etc/passwd"),
        ("/etc/passwd", "etc/passwd"),
        ("..\\..\\win.ini", "win.ini"),
        ("C:\\Windows\\win.ini", "Windows/win.ini"),
        ("a/./b/../c.dcm", "a/b/c.dcm"),
        ("a/b\x1b[2J\r\n.dcm", "a/b\\x1b[2J\\r\\n.dcm"),
        ("right\u202eleft", "right\\u202eleft"),
        ("환자 사진.dcm", "환자 사진.dcm"),
        ("x" * 5000 + ".dcm", "x" * 496 + ".dcm"),
        ("names.json", "names.json"),
        ("CON", "CON"),
    ],
)
def test_no_name_reaches_the_disk(name: str, shown: str, archive: Build, tmp_path: Path) -> None:
    before = {path for path in tmp_path.rglob("*") if path.name != "upload.zip"}
    unpack_zip(archive((name, film())), tmp_path / "new" / "out")
    assert {path for path in tmp_path.rglob("*") if path.name != "upload.zip"} - before == {
        tmp_path / "new",
        tmp_path / "new" / "out",
        tmp_path / "new" / "out" / NAMES,
        tmp_path / "new" / "out" / "000001",
    }
    assert read_names(tmp_path / "new" / "out") == {"000001": shown}


def test_equal_names_and_names_of_another_case_are_different_files(archive: Build, tmp_path: Path) -> None:
    unpack_zip(archive(("1.dcm", film(1)), ("1.dcm", film(2)), ("1.DCM", film(3))), tmp_path / "out")
    assert len({file.pixel_hash for file in index_folder(tmp_path / "out").files}) == 3


@pytest.mark.parametrize("encoding", ["cp950", "cp949"])
def test_names_of_old_windows_archives(encoding: str, archive: Build, tmp_path: Path) -> None:
    names = {"cp950": ["右膝/病人一.dcm", "左膝/影像二.dcm"], "cp949": ["오른쪽/환자하나.dcm", "왼쪽/사진둘.dcm"]}[
        encoding
    ]
    path = archive(*[(f"{k:0{len(name.encode(encoding))}d}", film()) for k, name in enumerate(names)])
    data = path.read_bytes()
    for k, name in enumerate(names):
        data = data.replace(f"{k:0{len(name.encode(encoding))}d}".encode(), name.encode(encoding))
    path.write_bytes(data)
    unpack_zip(path, tmp_path / "out")
    assert list(read_names(tmp_path / "out").values()) == names


def linked() -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo("link.dcm")
    entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return entry


def inner() -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        target.writestr("a.dcm", film())
    return out.getvalue()


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([("a.dcm", film()), (linked(), b"/etc/passwd")], "a link"),
        ([("a.dcm", film()), ("b.zip", inner())], "a zip file inside"),
        ([("a.dcm", film()), ("bomb", bytes(50 * 2**20))], "it unpacks to too many bytes"),
        ([(f"{k}", b"") for k in range(20_001)], "20001 files, at most 20000"),
    ],
    ids=["link", "nested", "ratio", "files"],
)
def test_hostile_archives_leave_nothing(
    files: list[tuple[str | zipfile.ZipInfo, bytes]], said: str, archive: Build, tmp_path: Path
) -> None:
    with pytest.raises(FileError, match=said) as caught:
        unpack_zip(archive(*files), tmp_path / "out")
    assert caught.value.code == "E_ARCHIVE"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", ["local and central", "method", "size", "crc", "end", "start"])
def test_archives_that_lie_or_are_damaged(place: str, archive: Build, tmp_path: Path) -> None:
    path = archive(("a.dcm", film()))
    data = bytearray(path.read_bytes())
    central = data.index(b"PK\1\2")
    if place == "local and central":  # encrypted
        data[6] |= 1
        data[central + 8] |= 1
    elif place == "method":
        data[8] = data[central + 10] = 99
    elif place == "size":
        data[central + 24 : central + 28] = (10).to_bytes(4, "little")
    elif place == "crc":
        data[central + 16] ^= 1
    elif place == "end":
        del data[-30:]
    else:
        data[:2] = b"MZ"
    path.write_bytes(data)
    with pytest.raises(FileError, match="E_ARCHIVE"):
        unpack_zip(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_archive_that_is_all_list(archive: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of files is not loaded before it is known to be short."""
    monkeypatch.setattr(image_archive, "_MAX_READ_BYTES", 100_000)
    path = archive(*[("x" * 500 + f"{k}", b"") for k in range(300)])
    with pytest.raises(FileError, match="the list of files is too long"):
        unpack_zip(path, tmp_path / "out")


def test_bytes_are_counted(archive: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(("a", film()), ("b", film()), method=zipfile.ZIP_STORED)
    monkeypatch.setattr(image_archive, "MAX_BYTES", 2 * len(film()) - 1)
    with pytest.raises(FileError, match="too many bytes"):
        unpack_zip(path, tmp_path / "out")
    monkeypatch.setattr(image_archive, "MAX_BYTES", 2 * len(film()))
    assert unpack_zip(path, tmp_path / "out") == 2


def test_a_folder_that_is_there_is_left_alone(archive: Build, tmp_path: Path) -> None:
    fill(tmp_path / "out", {"precious": b"x"})
    with pytest.raises(FileError, match="E_ARCHIVE"):
        unpack_zip(archive(("a", film())), tmp_path / "out")
    assert (tmp_path / "out" / "precious").read_bytes() == b"x"


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"format": "other"}', b'{"format": "fivefold-names-1", "names": 7}']
)
def test_other_files_of_that_name_are_no_names(content: bytes, tmp_path: Path) -> None:
    assert read_names(fill(tmp_path, {NAMES: content, "1": film()})) == {}
    assert len(index_folder(tmp_path).files) == 1


def test_names_are_kept_as_json(archive: Build, tmp_path: Path) -> None:
    unpack_zip(archive(("a/b.dcm", film())), tmp_path / "out")
    assert json.loads((tmp_path / "out" / NAMES).read_text())["names"] == {"000001": "a/b.dcm"}
