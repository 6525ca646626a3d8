"""A hospital's table of labels: what spreadsheets of three countries write, tables that lie, and keys that name nobody."""

import contextlib
import json
import random
import re
import zipfile
from collections.abc import Callable
from datetime import date, datetime
from functools import partial
from io import BytesIO
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from io_files import dicom, ramp, read

from core.errors import ScreeningError, TableError
from core.io import keys, label_table, vocabulary, wire
from core.io.label_table import LabelTable
from core.io.reader import Reader, shared_reader

PLAIN = "file,label\na.dcm,1\nb.dcm,0\n"
ROWS = ({"file": "a.dcm", "label": "1"}, {"file": "b.dcm", "label": "0"})


def table(data: bytes | str) -> LabelTable:
    return shared_reader().read_table(data.encode() if isinstance(data, str) else data)


def refused(data: bytes | str) -> str:
    pids = shared_reader().pids
    with pytest.raises(TableError) as caught:
        table(data)
    assert shared_reader().pids == pids, "a table cost a process"
    return f"{caught.value.code}: {caught.value.got}"


def workbook(*rows: list[Any], sheets: int = 1) -> bytes:
    book, out = openpyxl.Workbook(), BytesIO()
    for row in rows:
        book.active.append(row)
    for number in range(1, sheets):
        book.create_sheet(f"more {number}").append(["other"])
    book.save(out)
    return out.getvalue()


def changed(data: bytes, change: Callable[[str], str], part: str = "xl/worksheets/sheet1.xml") -> bytes:
    """A workbook with one part rewritten."""
    out = BytesIO()
    with zipfile.ZipFile(BytesIO(data)) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            content = source.read(name)
            target.writestr(name, change(content.decode()) if name == part else content)
    return out.getvalue()


# --- CSV -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        PLAIN.encode(),
        PLAIN.encode("utf-8-sig"),
        PLAIN.replace(",", ";").encode("utf-8-sig"),
        PLAIN.replace(",", "\t").encode("utf-16"),
        PLAIN.encode("utf-16-le"),
        b"\xfe\xff" + PLAIN.encode("utf-16-be"),
        PLAIN.replace("\n", "\r\n").encode(),
        ("sep=;\r\n" + PLAIN.replace(",", ";")).encode(),
        b"file , label\na.dcm ,\t1\n\n,,\nb.dcm,0,,\n",
        b'"file","label"\n"a.dcm","1"\n"b.dcm","0"',
    ],
    ids=["plain", "BOM", "semicolon", "tab", "no BOM", "big endian", "CRLF", "sep", "blanks", "quotes"],
)
def test_what_spreadsheets_write(data: bytes) -> None:
    found = table(data)
    assert (found.columns, found.rows, found.notes) == (("file", "label"), ROWS, ())


@pytest.mark.parametrize(
    ("text", "encoding", "note"),
    [
        ("檔名,判讀結果,病歷號\n右膝影像.dcm,輕度退化,7\n", "cp950", vocabulary.READ_AS_BIG5),
        ("파일명,판독 등급,환자번호\n오른쪽무릎.dcm,중등도,7\n", "cp949", vocabulary.READ_AS_CP949),
    ],
)
def test_old_encodings_are_read_and_said(text: str, encoding: str, note: str) -> None:
    found = table(text.encode(encoding))
    assert [list(found.columns), *[list(row.values()) for row in found.rows]] == [
        line.split(",") for line in text.splitlines()
    ]
    assert found.notes == (note,)


def test_cells_stay_text() -> None:
    found = table('file,label,note\na,007,"=HYPERLINK(""x"")"\nb,1.0,"two\nlines, one cell"\nc,nan\n')
    assert [tuple(row.values()) for row in found.rows] == [
        ("a", "007", '=HYPERLINK("x")'),
        ("b", "1.0", "two lines, one cell"),
        ("c", "nan", ""),
    ]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "E_LABEL_TABLE"),
        (b"file,label\n", "E_LABEL_TABLE: no row"),
        (b"one\n1\n2\n", "E_LABEL_TABLE: fewer than two"),
        (b"file,label,label\na,1,1\n", "E_HEAD: column 3 has the name of column 2"),
        (b"file,,label\na,1,1\n", "E_HEAD: column 2 has no name"),
        (b"file,label\na,1,Chang\n", "E_LABEL_TABLE: row 1 has more values"),
        (b'file,label\n"a,1\n', "E_LABEL_TABLE"),
        (b"file,label\na\0,1\n", "E_LABEL_TABLE"),
        (b"file,label\n\xff\xff\xff\xff,1\n", "E_LABEL_TABLE"),
        (b"%PDF-1.7\n\xe2\xe3\xcf\xd3\xff\xfe\n", "E_LABEL_TABLE"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "E_LABEL_TABLE: an old or encrypted"),
        ((",".join(f"c{k}" for k in range(201)) + "\n1,2\n").encode(), "E_LABEL_TABLE: 201 columns"),
        (b"a,b\n" + b"1,2\n" * 200_001, "E_LABEL_TABLE: more than 200000 rows"),
        (b"a,b\n1," + b"x" * 200_000, "E_LABEL_TABLE"),
        (dicom(ramp()), "E_LABEL_TABLE"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else value,
)
def test_tables_that_are_none(data: bytes, said: str) -> None:
    found = refused(data)
    assert found.startswith(said)
    assert "Chang" not in found


@given(st.binary(max_size=300))
@settings(max_examples=50, deadline=None)
def test_any_bytes_are_a_table_or_a_listed_error(data: bytes) -> None:
    try:
        found = label_table.parse_table(data)
    except TableError:
        return
    header, body = wire.pack_table(found)
    assert wire.unpack_table(json.loads(json.dumps(header)), b"".join(body)) == found


# --- XLSX ------------------------------------------------------------------------------------------------------------


def test_workbook() -> None:
    found = table(
        workbook(
            ["檔名", "T", "day", "time", "grade", "read"],
            [" a.dcm ", -2.5, date(2024, 2, 9), datetime(2024, 2, 9, 13, 5), 3.0, True],
            [],
            ["b.dcm", None, "2024/2/9", None, "#N/A", 1e300],
            sheets=2,
        )
    )
    assert [tuple(row.values()) for row in found.rows] == [
        ("a.dcm", "-2.5", "2024-02-09", "2024-02-09 13:05:00", "3", "TRUE"),
        ("b.dcm", "", "2024/2/9", "", "#N/A", "1e+300"),
    ]
    assert found.notes == (vocabulary.FIRST_SHEET,)


def test_a_formula_is_its_saved_value() -> None:
    data = workbook(["file", "label"], ["a", "=1+1"], ["b", '=IF(A1="",1,"")'])
    assert refused(data) == "E_LABEL_TABLE: 2 formulas without saved values"
    saved = changed(data, lambda xml: xml.replace("<v></v>", "<v>2</v>", 1).replace("<v />", "<v>2</v>", 1))
    assert [row["label"] for row in table(saved).rows] == ["2", ""]


def test_a_sheet_that_lies_about_its_size() -> None:
    data = changed(workbook(["file", "label"], ["a", 1]), lambda xml: xml.replace("A1:B2", "A1:XFD1048576"))
    assert len(table(data).rows) == 1
    far = changed(workbook(["file", "label"], ["a", 1]), lambda xml: xml.replace('r="B2"', 'r="XFD2"'))
    assert refused(far).startswith("E_LABEL_TABLE")
    deep = changed(workbook(["a", "b"], [1, 2]), lambda xml: xml.replace('<row r="2"', '<row r="99999999"'))
    assert refused(deep) == "E_LABEL_TABLE: more than 1048576 rows"


def test_workbook_bombs() -> None:
    data = workbook(["file", "label"], ["a", 1])
    large = changed(data, lambda xml: xml.replace("</sheetData>", " " * 50_000_000 + "</sheetData>"))
    assert len(large) < 100_000
    assert refused(large) == "E_LABEL_TABLE: the workbook unpacks to too many bytes"
    laughs = '<!DOCTYPE x [<!ENTITY a "haha"><!ENTITY b "&a;&a;&a;&a;">]>'
    for part in ("xl/worksheets/sheet1.xml", "xl/workbook.xml"):
        declared = changed(data, lambda xml: laughs + re.sub(r"^<\?xml.*?\?>", "", xml), part)
        assert refused(declared) == "E_LABEL_TABLE: a workbook that declares a document type"


@pytest.mark.parametrize("length", [30, 400, -30])
def test_torn_workbook(length: int) -> None:
    assert refused(workbook(["file", "label"], ["a", 1])[:length]).startswith("E_LABEL_TABLE")


def spoiled(xml: str, cut: float, letter: str) -> str:
    place = int(cut * len(xml))
    return xml[:place] + letter + xml[place + 1 :]


def test_a_damaged_workbook_is_a_table_or_a_listed_error() -> None:
    data, rng = workbook(["file", "label"], ["a", 1], ["b", date(2024, 2, 9)]), random.Random(7)
    parts = zipfile.ZipFile(BytesIO(data)).namelist()
    for _ in range(60):
        spoil = partial(spoiled, cut=rng.random(), letter=rng.choice('<>"/=09 aX'))
        mutant = changed(data, spoil, rng.choice(parts))
        with contextlib.suppress(TableError):
            assert label_table.parse_table(mutant).columns


def test_other_archives_are_no_workbook() -> None:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        target.writestr("a.csv", PLAIN)
    assert refused(out.getvalue()) == "E_LABEL_TABLE: no workbook that can be read"


# --- a worker that lies ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lie",
    [
        {"n_rows": 3},
        {"n_rows": 10**9},
        {"n_columns": 1},
        {"n_columns": -2},
        {"n_columns": "x"},
        {"notes": ["free text"]},
        {"notes": 7},
        {"error": "E_NEW", "got": ""},
    ],
)
def test_lies_of_the_worker_are_caught(lie: dict[str, Any]) -> None:
    header, body = wire.pack_table(label_table.parse_table(PLAIN.encode()))
    with pytest.raises(wire.WireError):
        wire.unpack_table(header | lie, b"".join(body))


def test_uneven_rows_of_the_worker_are_caught() -> None:
    with pytest.raises(wire.WireError):
        wire.unpack_table({"n_rows": 1, "n_columns": 2, "notes": []}, b"a\x1fb\x1fc\x1f\x1ed\x1f\x1e")


# --- keys ------------------------------------------------------------------------------------------------------------


def test_a_table_and_a_header_meet_by_hashes() -> None:
    study = read(dicom(ramp(), PatientID="P 77", AccessionNumber="ACC-1", StudyDate="20240209"))
    hashes = shared_reader().hash_keys
    assert hashes([" P 77 ", "P 78", ""], "patient")[0] == study.pseudonym
    assert hashes(["ACC-1 "], "accession") == [study.keys["accession"]]
    for day in ("2024-02-09", "2024/02/09", "20240209", "2024/2/9", "2024-02-09 13:05:00", "2024-02-09T00:00:00"):
        assert hashes([keys.patient_date(" P 77", day)], "patient_date") == [study.keys["patient_date"]]
    others = hashes([keys.patient_date("P 77", "2024-02-10"), keys.patient_date("P 7", "2024-02-09")], "patient_date")
    assert study.keys["patient_date"] not in others
    assert len({study.pseudonym, *study.keys.values(), *hashes(["P 77"], "accession")}) == 4


def test_no_key_without_an_id_or_a_day() -> None:
    assert read(dicom(ramp(), PatientID="P", StudyDate="")).keys == {}
    assert set(read(dicom(ramp(), AccessionNumber="1")).keys) == {"accession"}
    assert shared_reader().hash_keys(["", " "], "accession") == ["", ""]
    for day in ("", "09.02.2024", "2024-13-01", "2024229", "202402", "2024-02/09", "tomorrow"):
        assert keys.patient_date("P", day) == ""


def test_keys_need_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    data, found = dicom(ramp(), AccessionNumber="A"), []
    for secret in ("one", "one", "two"):
        monkeypatch.setenv("FIVEFOLD_PSEUDONYM_KEY", secret)
        with Reader(workers=1) as reader:
            found.append(reader.read(data).keys["accession"])
            assert reader.hash_keys(["A"], "accession") == found[-1:]
    assert found[0] == found[1] != found[2]


def test_a_table_is_not_shown_by_repr() -> None:
    found = table("file,patient\na,Chang-007\n")
    assert "Chang" not in repr(found)
    with pytest.raises(ScreeningError) as caught:
        table("file,Chang,Chang\na,1,2\n")
    assert "Chang" not in repr(caught.value) + str(caught.value)
