"""What leaves the page, in a real browser: each session gets its own files, a case is found again, and nobody is named."""

import io
import re
import sqlite3
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pydicom
import pytest
import scipy.io
from conftest import accept_intended_use
from playwright.sync_api import Browser, Download, Page, expect
from pypdf import PdfReader
from test_browser import HEADLINE, KNEE_GRADE, LIMIT_MS, choose_files, choose_sample, grade, headline, settle

from core.io.phantom_file import write_dicom
from core.io.phantom_matlab import write_matlab
from core.tasks.hip_osteoporosis.phantom import make_sample
from core.tasks.knee_djd import phantom as knee

MIB = 1 << 20
ANSWER = re.compile(f"{HEADLINE.pattern}|{KNEE_GRADE.pattern}")
# A name, an id and a birth date, each in the forms that a program might write it in.
PLANTED = ("Quillfeather", "Zzyzx", "QX77190425", "ACC-8812-77", "19510317", "1951-03-17", "1951/03/17")
REPORT, OBJECTS = "Report (PDF)", "DICOM, de-identified (zip)"


def save(page: Page, button: str) -> tuple[Download, bytes]:
    """Click a button that saves a file, and what came."""
    with page.expect_download(timeout=LIMIT_MS) as waiting:
        page.get_by_role("button", name=button, exact=True).click()
    path = waiting.value.path()
    return waiting.value, path.read_bytes()


def printed(data: bytes) -> str:
    """The text of a PDF without white space."""
    return re.sub(r"\s+", "", "".join(page.extract_text() for page in PdfReader(io.BytesIO(data)).pages))


def members(data: bytes) -> list[bytes]:
    """The files of an archive."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [archive.read(name) for name in archive.namelist()]


def document(archive: bytes) -> bytes:
    """The printed report among DICOM objects."""
    with zipfile.ZipFile(io.BytesIO(archive)) as objects:
        (name,) = [name for name in objects.namelist() if name.endswith("report.dcm")]
        return bytes(pydicom.dcmread(io.BytesIO(objects.read(name))).EncapsulatedDocument)


def open_sample(page: Page, app_server: str, name: str) -> None:
    page.goto(f"{app_server}/hip_osteoporosis?lang=en")
    headline(page)
    choose_sample(page, name)
    headline(page)
    settle(page)


def test_two_sessions_save_their_own_files(browser: Browser, app_server: str) -> None:
    """Both ask at the same time, twice; every file names the image of its own session, and not that of the other."""
    samples = {"Likely negative": "likely_negative", "Likely positive": "likely_positive"}
    own = [sha256(write_dicom(make_sample(name))).hexdigest() for name in samples.values()]
    contexts = [browser.new_context(viewport={"width": 1500, "height": 1000}) for _ in samples]
    try:
        pages = [context.new_page() for context in contexts]
        for page in pages:
            accept_intended_use(page)
        for page, title in zip(pages, samples, strict=True):
            open_sample(page, app_server, title)
        for button, smallest in ((OBJECTS, MIB), (REPORT, MIB // 8)) * 2:
            first, second = (page.expect_download(timeout=LIMIT_MS) for page in pages)
            with first as one, second as two:
                for page in pages:
                    page.get_by_role("button", name=button, exact=True).click(no_wait_after=True)
            for file, mine, other in zip((one.value, two.value), own, reversed(own), strict=True):
                data = file.path().read_bytes()
                assert len(data) > smallest
                assert mine[:12] in file.suggested_filename
                text = printed(data if button == REPORT else document(data))
                assert mine in text
                assert other not in text
    finally:
        for context in contexts:
            context.close()


def mark_first(page: Page) -> None:
    """Mark the first row of the only table: its box stands at the left edge, below the head."""
    table = page.get_by_test_id("stDataFrame").first
    expect(table).to_be_visible(timeout=LIMIT_MS)
    table.click(position={"x": 20, "y": 52})
    settle(page)


def test_a_case_is_printed_and_found_again(page: Page, app_server: str) -> None:
    open_sample(page, app_server, "Right hip")
    said = HEADLINE.search(page.get_by_role("heading", name=HEADLINE).first.inner_text())
    assert said is not None
    _, data = save(page, REPORT)
    text = printed(data)
    assert said.group().replace(" ", "") in text
    assert "Simulateddataonly:numberscarrynoclinicalmeaning" in text
    page.get_by_test_id("stSidebarNavLink").filter(has_text="History").click()
    mark_first(page)
    expect(page.get_by_text("Simulated data only: numbers carry no clinical meaning").first).to_be_visible(
        timeout=LIMIT_MS
    )
    expect(page.get_by_role("heading", name=HEADLINE).first).to_have_text(re.compile(said.group()))


def planted_film() -> bytes:
    """A phantom's film with a person in its header."""
    film = pydicom.dcmread(io.BytesIO(write_dicom(make_sample("right_hip"))))
    film.PatientName, film.PatientID, film.PatientBirthDate = "Quillfeather^Zzyzx", "QX77190425", "19510317"
    film.AccessionNumber, film.OtherPatientIDs = "ACC-8812-77", "QX77190425"
    film.PatientComments = "Quillfeather, born 1951-03-17"
    film.private_block(0x0011, "QUILL", create=True).add_new(1, "LO", "Quillfeather QX77190425")
    file = io.BytesIO()
    film.save_as(file)
    return file.getvalue()


def planted_scan() -> bytes:
    """A phantom's .mat file with a person in its free text."""
    scan = scipy.io.loadmat(io.BytesIO(write_matlab(knee.make_sample("mild_both"), "5")))
    variables = {name: value for name, value in scan.items() if not name.startswith("__")}
    variables["PatientName"] = "Quillfeather^Zzyzx QX77190425 1951/03/17"
    file = io.BytesIO()
    scipy.io.savemat(file, variables)
    return file.getvalue()


def scanned(data: bytes) -> str:
    """Everything that can be read in a saved file: archives, DICOM tags and printed text too."""
    texts = [data.decode("latin-1"), data.decode("utf-16-le", "ignore")]
    if data[:4] == b"PK\x03\x04":
        texts += map(scanned, members(data))
    if data[128:132] == b"DICM":
        objects = pydicom.dcmread(io.BytesIO(data))
        texts += [str(objects), scanned(bytes(objects.get("EncapsulatedDocument", b"")))]
    if data[:5] == b"%PDF-":
        texts += [printed(data), "".join(str(PdfReader(io.BytesIO(data)).metadata))]
    return "\n".join(texts)


@pytest.mark.parametrize(
    ("task", "make", "name"),
    [("hip_osteoporosis", planted_film, "IM000001.dcm"), ("knee_djd", planted_scan, "scan.mat")],
)
def test_nobody_is_named_anywhere(
    page: Page, app_server: str, app_folder: Path, tmp_path: Path, task: str, make: Callable[[], bytes], name: str
) -> None:
    """Page, address, saved files, history, log, and whatever else the app has written."""
    file = tmp_path / name
    file.write_bytes(make())
    assert sum(word in file.read_bytes().decode("latin-1") for word in PLANTED) >= 3, "it is planted at all"
    page.goto(f"{app_server}/{task}?lang=en")
    grade(page, ANSWER)
    choose_files(page, file)
    if task == "knee_djd":  # this file lost the mark of a phantom: a person says that it is meant
        page.get_by_role("button", name="I have read this: show the score").click(timeout=LIMIT_MS)
    grade(page, ANSWER)
    page.get_by_text("Pseudonym, age and sex in the report").click()
    settle(page)
    texts = {"page": page.content(), "address": page.url}
    for button in (REPORT, OBJECTS, "Overlay (PNG)", "Result (JSON)"):
        download, data = save(page, button)
        texts[button] = download.suggested_filename + scanned(data)
    page.get_by_test_id("stSidebarNavLink").filter(has_text="History").click()
    expect(page.get_by_role("button", name="List (CSV)")).to_be_visible(timeout=LIMIT_MS)
    settle(page)
    texts["history page"] = page.content()
    texts["List (CSV)"] = scanned(save(page, "List (CSV)")[1])
    with sqlite3.connect(app_folder / "history.sqlite") as database:
        rows = list(database.iterdump())
    assert any(task in row for row in rows)
    texts["rows"] = "\n".join(rows)
    written = [path for path in app_folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert {"server.log", "history.sqlite"} <= {path.name for path in written}
    texts |= {f"file {path.name}": scanned(path.read_bytes()) for path in written}
    found = [(place, word) for place, text in texts.items() for word in PLANTED if word in text]
    assert found == []
