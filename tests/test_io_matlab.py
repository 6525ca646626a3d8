"""MATLAB bone scans: both versions, the choice of the variable, knee codes, hostile files (F23-F28)."""

import random
import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from io_files import code_of_mutant, dicom, ramp, read, refusal
from numpy.testing import assert_array_equal
from scipy.io import savemat

from core.errors import MESSAGES, ScreeningError, UsageError
from core.io import vocabulary
from core.io.reader import Reader

MARKER = "ZZPLANTEDZZ"
SHAPE = (1024, 256, 2)


def scan() -> np.ndarray:
    """Counts that tell every pixel, row, column and view apart."""
    y, x, view = np.ogrid[:1024, :256, :2]
    return (y * 7 + x * 31 + view * 20_000).astype(np.uint16)


def facts(ids: tuple[float, float] = (2, 5), names: tuple[str, str] = ("normal", "modDJD")) -> dict[str, Any]:
    """What `diaginfo` holds."""
    cells = np.empty((1, 2), object)
    cells[0] = names
    comment = np.empty((1, 1), object)
    comment[0, 0] = MARKER
    return {
        "comment": comment,
        "roitable": {"x": np.ones((1, 1))},
        "kneejointid": np.array([ids], float),
        "kneejointname": cells,
    }


def v5(compress: bool = True, **variables: object) -> bytes:
    out = BytesIO()
    savemat(out, variables, do_compression=compress)
    return out.getvalue()


def v73(**variables: Any) -> bytes:
    """As MATLAB writes it: a user block, reversed axes, classes as attributes, cells as references."""
    out = BytesIO()
    with h5py.File(out, "w", userblock_size=512) as file:

        def put(group: h5py.Group, name: str, value: Any) -> None:
            if isinstance(value, dict):
                inner = group.create_group(name)
                inner.attrs["MATLAB_class"] = np.bytes_(b"struct")
                for field, content in value.items():
                    put(inner, field, content)
            elif isinstance(value, str):
                text = np.array([[ord(letter)] for letter in value], np.uint16)
                group.create_dataset(name, data=text).attrs["MATLAB_class"] = np.bytes_(b"char")
            elif value.dtype == object:
                cells = group.create_dataset(name, value.T.shape, h5py.ref_dtype)
                cells.attrs["MATLAB_class"] = np.bytes_(b"cell")
                for place, content in np.ndenumerate(value.T):
                    key = f"#refs#/{len(file.require_group('#refs#'))}"
                    put(file, key, content)
                    cells[place] = file[key].ref
            else:
                kind = {"float64": "double", "float32": "single"}.get(value.dtype.name, value.dtype.name)
                dataset = group.create_dataset(name, data=value.T, compression="gzip", shuffle=True)
                dataset.attrs["MATLAB_class"] = np.bytes_(kind.encode())

        for name, value in variables.items():
            put(file, name, value)
    data = bytearray(out.getvalue())
    data[:128] = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    return bytes(data)


def hdf5(build: Any, **options: Any) -> bytes:
    """Without user block and classes; `build` fills the open file."""
    out = BytesIO()
    with h5py.File(out, "w", **options) as file:
        build(file)
    return out.getvalue()


WRITERS = pytest.mark.parametrize("write", [v5, v73])


# --- what is read ----------------------------------------------------------------------------------------------------


@WRITERS
@pytest.mark.parametrize("name", ["V", "Y", "scan7"])
def test_both_views(write: Any, name: str) -> None:
    data = write(**{name: scan(), "other": np.ones((3, 4))})
    sizes = {"Rows": "1024", "Columns": "256", "NumberOfFrames": "2"}
    for index, note in enumerate([vocabulary.ANTERIOR_VIEW, vocabulary.CHOSEN_FRAME]):
        study = read(data, index)
        assert (study.container, study.frame.unit, study.frame.pixels.dtype) == ("matlab", "counts", np.float32)
        assert_array_equal(study.frame.pixels, scan()[:, :, index])
        assert study.notes == (note,)
        assert study.tags == {"Modality": "NM", "ViewPosition": "AP"[index]} | sizes
        assert not study.is_phantom
    with pytest.raises(UsageError):
        read(data, 2)


@WRITERS
def test_v_comes_before_y_before_the_rest(write: Any) -> None:
    zeros = np.zeros(SHAPE, np.uint8)
    assert read(write(Y=zeros, V=scan())).frame.pixels.max() > 0
    assert read(write(A=zeros, Y=scan(), Z=zeros)).frame.pixels.max() > 0
    assert refusal(write(A=zeros, B=zeros)) == "E_MAT"
    assert refusal(write(V=np.ones((3, 4)), Y=scan())) == "E_MAT"


@WRITERS
@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "int32", "uint32", "int64", "uint64", "float32", "float64"])
def test_every_numeric_type(write: Any, kind: str) -> None:
    values = (scan() % 120).astype(kind)
    assert_array_equal(read(write(V=values)).frame.pixels, values[:, :, 0])


def test_uncompressed_and_unlabelled() -> None:
    assert_array_equal(read(v5(compress=False, V=scan())).frame.pixels, scan()[:, :, 0])
    for stored in (scan(), scan().T):
        data = hdf5(lambda file, stored=stored: file.create_dataset("V", data=stored))
        assert_array_equal(read(data, 1).frame.pixels, scan()[:, :, 1])
    assert refusal(v5(V=np.swapaxes(scan(), 0, 1))) == "E_MAT"  # lying: which side is right cannot be known


@WRITERS
def test_negative_and_not_finite(write: Any) -> None:
    values = scan().astype(float)
    values[0, :3, 0] = -5, -0.25, 7
    study = read(write(V=values))
    assert_array_equal(study.frame.pixels[0, :3], [0, 0, 7])
    assert vocabulary.NEGATIVE_COUNTS in study.notes
    for poison in (np.nan, np.inf, -np.inf, 1e300):
        values[5, 5, 0] = poison
        assert refusal(write(V=values)) == "E_NONFINITE"


@WRITERS
@pytest.mark.parametrize(("mark", "is_phantom"), [(np.ones((1, 1)), True), (np.ones((2, 2)), False), ({}, False)])
def test_only_a_single_value_marks_a_phantom(write: Any, mark: object, is_phantom: bool) -> None:
    assert read(write(V=scan(), fivefold_phantom=mark)).is_phantom is is_phantom


# --- diaginfo --------------------------------------------------------------------------------------------------------


@WRITERS
@pytest.mark.parametrize(
    ("ids", "names", "tags"),
    [
        ((2, 5), ("normal", "modDJD"), ("2,5", "2,5")),
        ((2, 2), ("SevDJD", "sevDJD"), ("2,2", "6,6")),  # the conflict is for the task to report
        ((-1, 3), ("unspect", "MINIMAL"), ("-1,3", "-1,3")),
        ((9, 0), (MARKER, "mildDJD"), ("9,0", ",4")),
        ((2.5, 3), (MARKER, MARKER), (None, None)),
        ((np.nan, 3), ("", ""), (None, None)),
        ((1e9, 3), ("normal", MARKER * 50), (None, "2,")),
    ],
)
def test_knee_codes(write: Any, ids: Any, names: Any, tags: Any, capfd: pytest.CaptureFixture[str]) -> None:
    study = read(write(V=scan(), diaginfo=facts(ids, names)))
    assert (study.tags.get("KneeJointId"), study.tags.get("KneeJointName")) == tags
    assert set(study.tags) <= vocabulary.TAGS
    said = capfd.readouterr()
    assert MARKER not in "".join(map(repr, (study, said.out, said.err)))


@WRITERS
@pytest.mark.parametrize("info", [{"kneejointid": np.array([[3, 1, 2]])}, {"comment": MARKER}, np.ones((5, 5)), MARKER])
def test_incomplete_diaginfo_costs_only_its_codes(write: Any, info: object) -> None:
    study = read(write(V=scan(), diaginfo=info))
    assert_array_equal(study.frame.pixels, scan()[:, :, 0])
    assert not {"KneeJointId", "KneeJointName"} & set(study.tags)


def test_a_matlab_table_beside_the_codes() -> None:
    info = facts() | {"roitable": np.full((80, 1), 7, np.uint8)}
    data = v5(compress=False, V=scan(), diaginfo=info)
    body = struct.pack("<2I", 14, 128) + struct.pack("<4I", 6, 8, 17, 0)
    body += b"\x01\x00\x00\x00" + bytes(4) + b"\x01\x00\x04\x00MCOS" + struct.pack("<2I", 1, 5) + b"table\0\0\0"
    inner = struct.pack("<4I", 6, 8, 13, 0) + struct.pack("<2I2i", 5, 8, 6, 1) + struct.pack("<2I", 1, 0)
    body += struct.pack("<2I", 14, 72) + inner + struct.pack("<2I6I", 6, 24, 0xDD000000, 2, 1, 1, 1, 1)
    end = data.index(bytes([7]) * 80) + 80
    study = read(data[: end - len(body)] + body + data[end:])
    assert (study.tags["KneeJointId"], study.tags["KneeJointName"]) == ("2,5", "2,5")


@WRITERS
def test_the_comment_is_not_in_an_error(write: Any, capfd: pytest.CaptureFixture[str]) -> None:
    data = write(**{MARKER: np.ones((2, 2)), "diaginfo": facts()})
    for broken in (data, data[:-300], data[:-900]):
        with pytest.raises(ScreeningError) as caught:
            read(broken)
        said = capfd.readouterr()
        assert MARKER not in "".join(map(repr, (caught.value, str(caught.value), said.out, said.err)))


# --- what is refused -------------------------------------------------------------------------------------------------


@WRITERS
@pytest.mark.parametrize(
    "content",
    [
        np.full((2, 2), "text", object),
        {"field": np.ones((2, 2))},
        "text",
        np.ones((1024, 256)),
        np.ones((256, 1024, 2), np.uint8),
        np.ones((1024, 256, 3), np.uint8),
    ],
    ids=["cell", "struct", "text", "one view", "lying", "three views"],
)
@pytest.mark.parametrize("name", ["V", "other"])
def test_no_numeric_array_of_the_right_shape(write: Any, content: object, name: str) -> None:
    assert refusal(write(**{name: content})) == "E_MAT"


def test_other_classes_of_the_right_shape() -> None:
    assert refusal(v5(V=scan() > 9)) == "E_MAT"
    assert refusal(v5(V=scan() + 1j)) == "E_MAT"
    plain = v5(compress=False, V=scan())
    at = plain.index(struct.pack("<3I", 6, 8, 11)) + 8
    for kind in (1, 3, 5, 16, 17):  # cell, object, sparse, function handle, opaque
        assert refusal(plain[:at] + bytes([kind]) + plain[at + 1 :]) == "E_MAT"
    labelled = v73(V=scan())
    for kind in (b"cell##", b"logic#", b"functi"):
        assert refusal(labelled.replace(b"uint16", kind)) == "E_MAT"
    compound = np.dtype([("real", "f4"), ("imag", "f4")])
    assert refusal(hdf5(lambda file: file.create_dataset("V", SHAPE, compound))) == "E_MAT"


def test_compressed_bomb() -> None:
    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(bytes(2**20)) for _ in range(600)) + packer.flush()
    data = v5(V=scan()) + struct.pack("<2I", 15, len(packed)) + packed
    assert refusal(data) == "E_BOMB"


def test_large_claims() -> None:
    plain = v5(compress=False, W=np.ones((3, 5)), V=scan())
    at = plain.index(struct.pack("<2i", 3, 5))
    assert refusal(plain[:at] + struct.pack("<2i", 2**20, 2**20) + plain[at + 8 :]) == "E_BOMB"
    assert refusal(plain[:at] + struct.pack("<2i", -3, 5) + plain[at + 8 :]) == "E_MAT"
    for name in ("V", "other"):
        data = hdf5(lambda file, name=name: file.create_dataset(name, (400, 1000, 1000), "f8", fillvalue=1.0))
        assert len(data) < 10_000
        assert refusal(data) == "E_BOMB"


def test_a_chunk_that_unpacks_without_end() -> None:
    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(bytes(2**20)) for _ in range(500)) + packer.flush()

    def build(file: h5py.File) -> None:
        dataset = file.create_dataset("V", SHAPE, np.uint16, chunks=SHAPE, compression="gzip")
        dataset.id.write_direct_chunk((0, 0, 0), packed)

    with Reader(workers=1, memory_bytes=300_000_000) as reader:
        pids = reader.pids
        assert refusal(hdf5(build), reader=reader) in ("E_MAT", "E_BOMB")
        assert_array_equal(reader.read(v73(V=scan())).frame.pixels, scan()[:, :, 0])
        assert reader.pids == pids


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("outside") / "secret.h5"
    with h5py.File(path, "w") as file:
        file["V"] = scan()
    return path


def test_no_other_file_is_read(outside: Path) -> None:
    n_bytes = np.prod(SHAPE)
    layout = h5py.VirtualLayout(SHAPE, np.uint16)
    layout[:] = h5py.VirtualSource(outside, "V", SHAPE)
    builds = {
        "hostname": lambda file: file.create_dataset("V", SHAPE, np.uint8, external=[("/etc/hostname", 0, n_bytes)]),
        "elsewhere": lambda file: file.create_dataset("other", (9,), np.uint8, external=[("/etc/hostname", 0, 9)]),
        "external link": lambda file: file.update({"V": h5py.ExternalLink(outside, "/V")}),
        "soft link": lambda file: file.update({"V": h5py.SoftLink("/x"), "x": h5py.ExternalLink(outside, "/V")}),
        "virtual": lambda file: file.create_virtual_dataset("V", layout),
        "unknown filter": lambda file: file.create_dataset("V", data=scan(), compression="lzf"),
    }
    codes = {name: refusal(hdf5(build, libver="latest")) for name, build in builds.items()}
    assert codes == dict.fromkeys(builds, "E_MAT")


def test_no_other_file_is_read_for_diaginfo(outside: Path) -> None:
    def link(file: h5py.File) -> None:
        file.update({"V": scan(), "diaginfo/kneejointid": h5py.ExternalLink(outside, "/V")})

    def store(file: h5py.File) -> None:
        file.update({"V": scan()})
        file.create_dataset("diaginfo/kneejointid", (2, 1), np.uint8, external=[("/etc/hostname", 0, 2)])

    def refer(file: h5py.File) -> None:
        file.update({"V": scan()})
        cells = file.create_dataset("diaginfo/kneejointname", (2, 1), h5py.ref_dtype)
        cells[:] = file.create_dataset("x", (5,), np.uint16, external=[("/etc/hostname", 0, 10)]).ref

    def name(file: h5py.File) -> None:
        file.update({"V": scan(), "deep/x": h5py.ExternalLink(outside, "/V")})
        file.create_dataset("diaginfo/kneejointname", data=[b"deep/x", b"deep/x"])

    assert [refusal(hdf5(build)) for build in (link, store, refer)] == ["E_MAT"] * 3
    assert "KneeJointName" not in read(hdf5(name)).tags


@WRITERS
def test_truncated(write: Any) -> None:
    data = write(V=scan(), diaginfo=facts())
    codes = {refusal(data[:length]) for length in (128, 135, 600, len(data) // 2, len(data) - 1)}
    assert codes <= {"E_TRUNCATED", "E_MAT"}
    assert "E_TRUNCATED" in codes


def test_not_matlab() -> None:
    assert refusal(b"MATLAB is a word".ljust(2000)) == "E_NOT_IMAGE"
    assert refusal(bytes(124) + b"\x00\x01IM" + bytes(500)) == "E_MAT"
    assert refusal(b"\x89HDF\r\n\x1a\n" + bytes(2000)) == "E_MAT"


# --- fuzz ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("write", "n"), [(v5, 300), (v73, 60)])
def test_mutated_files_end_in_a_study_or_a_listed_error(write: Any, n: int) -> None:
    variables = {"diaginfo": facts(), "V": scan() % 3}
    seed, dice = write(**({"compress": False} if write is v5 else {}), **variables), random.Random(23)
    with Reader(workers=1, seconds=5) as reader:
        codes = set()
        for k in range(n):
            mutant = bytearray(seed)
            reach = len(mutant) if k % 3 == 0 else 4000  # most of the file is pixels, the rest is near the start
            for _ in range(dice.randint(1, 8)):
                mutant[dice.randrange(reach)] = dice.randrange(256)
            codes.add(code_of_mutant(reader, bytes(mutant)))
        assert codes - {None} <= MESSAGES.keys()
        assert reader.read(dicom(ramp())).container == "dicom"
