"""DXA tables: columns, values, what is left out; files and databases give the same."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import openpyxl
import pytest

from core.clinical.osteoporosis import neck_t_score
from core.curation.dexa import find_columns, read_dexa
from core.curation.pairing import Scan
from core.errors import MESSAGES, TableError, UsageError
from core.io.database import is_url, read_database
from core.io.reader import Reader

HEAD = ["Patient ID", "Scan Date", "Neck_BMD", "T-score"]
ROWS = [
    ["A1", "2020-05-01", "0.700", "-1.3"],
    ["A1", "2020/06/01", "0.558", ""],
    [" A2 ", "20200601", "", "\N{MINUS SIGN}2.5"],
    ["A2", "2020-07-01", "0.500", "999"],
    ["A3", "2020-07-01", "", "N/A"],
    ["", "2020-07-01", "0.5", "-3.0"],
    ["A4", "2020-02-30", "0.5", "-3.0"],
    ["A5", "1.7.2020", "0.5", "nan"],
]


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with Reader(workers=1) as reader:
        yield reader


def csv_file(folder: Path, rows: list[list[str]]) -> str:
    path = folder / "dexa.csv"
    path.write_text("\n".join(map(",".join, rows)) + "\n", encoding="utf-8")
    return str(path)


def xlsx_file(folder: Path, rows: list[list[str]]) -> str:
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in rows:
        book.active.append(row)
    book.save(folder / "dexa.xlsx")
    return str(folder / "dexa.xlsx")


def sqlite_file(folder: Path, rows: list[list[str]]) -> str:
    with sqlite3.connect(folder / "dexa.db") as connection:
        columns = ", ".join(f'"{name}" TEXT' for name in rows[0])
        connection.execute(f"CREATE TABLE dexa (number INTEGER PRIMARY KEY, {columns})")
        marks = ", ".join("?" * (len(rows[0]) + 1))
        # written last first: the rows come in the order of their key
        for number, row in reversed(list(enumerate(rows[1:], 1))):
            connection.execute(f"INSERT INTO dexa VALUES ({marks})", [number, *row])
    connection.close()
    return f"sqlite:///{folder / 'dexa.db'}"


@pytest.mark.parametrize("write", [csv_file, xlsx_file, sqlite_file])
def test_a_table_by_any_door(tmp_path: Path, reader: Reader, write: object) -> None:
    assert callable(write)
    found = read_dexa(reader, write(tmp_path, [HEAD, *ROWS]), "dexa", {})
    one, two, three = reader.hash_keys(["A1", "A2", "A3"], "patient")
    assert found.scans[one] == [
        Scan(1, date(2020, 5, 1), -1.3, "t_score"),
        Scan(2, date(2020, 6, 1), -2.5, "neck_bmd"),
    ]
    assert found.scans[two] == [
        Scan(3, date(2020, 6, 1), -2.5, "t_score"),
        Scan(4, date(2020, 7, 1), neck_t_score(0.5), "neck_bmd"),
    ]
    assert found.scans[three] == []
    assert found.n_rows == len(ROWS)
    assert found.left_out == Counter({"no readable date": 2, "no patient": 1, "no value": 1})
    assert "A1" not in repr(found)


@pytest.mark.parametrize(
    ("bmd", "t_score"), [(0.858, 0.0), (0.738, -1.0), (0.558, -2.5), (0.978, 1.0), (0.500, -2.983)]
)
def test_t_score_of_a_density(bmd: float, t_score: float) -> None:
    assert neck_t_score(bmd) == t_score


def test_columns_by_usual_names_and_by_choice() -> None:
    assert find_columns(("patientID", "SCAN_DATE", "tscore"), {}) == {
        "patient": "patientID",
        "date": "SCAN_DATE",
        "t_score": "tscore",
    }
    chosen = find_columns(
        ("病歷號", "日期", "T-score", "T_Score"), {"patient": "病歷號", "date": "日期", "t_score": "T_Score"}
    )
    assert chosen == {"patient": "病歷號", "date": "日期", "t_score": "T_Score"}


@pytest.mark.parametrize(
    ("head", "chosen", "words"),
    [
        (("PatientID", "ScanDate"), {}, "t_score or neck_bmd"),
        (("PatientID", "T-score"), {}, "date"),
        (("ScanDate", "T-score"), {}, "patient"),
        (("PatientID", "ScanDate", "T-score", "T_score"), {}, "several columns"),
        (("PatientID", "ScanDate", "T-score"), {"date": "Day"}, "no column of the name given for date"),
        (("PatientID", "ScanDate", "T-score"), {"name": "Day"}, "known: patient"),
    ],
)
def test_columns_that_do_not_fit(head: tuple[str, ...], chosen: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        find_columns(head, chosen)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("sqlite:///dexa.db", True),
        ("oracle+oracledb://u@h/?service_name=x", True),
        ("postgresql+psycopg://u:p@h/d", True),
        ("dexa.csv", False),
        ("C:/tables/dexa.csv", False),
    ],
)
def test_a_url_is_no_path(text: str, url: bool) -> None:
    assert is_url(text) is url


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///{folder}/missing.db",
        "sqlite:///{folder}/dexa.db",
        "sqlite:///{folder}/no_database.db",
        "nothing://user:secret@host/dexa",
        "oracle+nodriver://user:secret@host/dexa",
        "postgresql://user:secret@[broken/dexa",
    ],
)
def test_a_database_that_cannot_be_read_tells_no_secret(tmp_path: Path, url: str) -> None:
    sqlite_file(tmp_path, [HEAD, *ROWS])
    (tmp_path / "no_database.db").write_text("text" * 1000)
    with pytest.raises(TableError) as caught:
        read_database(url.format(folder=tmp_path), "another")
    assert caught.value.code == "E_DATABASE"
    assert "secret" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.code in MESSAGES
    assert not (tmp_path / "missing.db").exists()


def test_values_of_a_database_become_text(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "dexa.db") as connection:
        connection.execute("CREATE TABLE dexa (PatientID INTEGER, ScanDate DATE, T_score REAL, note BLOB)")
        connection.execute("INSERT INTO dexa VALUES (7, '2020-05-01', -2.5, x'00ff'), (8, NULL, NULL, NULL)")
    connection.close()
    found = read_database(f"sqlite:///{tmp_path / 'dexa.db'}", "dexa")
    assert [list(row.values()) for row in found.rows] == [["7", "2020-05-01", "-2.5", ""], ["8", "", "", ""]]


def test_a_missing_file_is_not_named(tmp_path: Path, reader: Reader) -> None:
    with pytest.raises(UsageError) as caught:
        read_dexa(reader, str(tmp_path / "Chen_Mei.csv"), "dexa", {})
    assert "Chen" not in str(caught.value)
