"""An evaluation bundle: the same bytes twice, all of it back, nobody in it, and nothing taken that was tampered with."""

import csv
import getpass
import io
import json
import random
import re
import socket
import zipfile
import zlib
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pypdf import PdfReader

from core.errors import BundleError
from core.evaluation import bundle as module
from core.evaluation.bundle import Bundle, list_files, read_bundle, write_bundle
from core.evaluation.bundle_cases import SourceCase, clean_command, key_table, number_cases
from core.evaluation.bundle_report import make_bundle, measure_cases, printed_questions, score_table
from core.evaluation.scores import measure_scores
from core.i18n import LANGUAGES
from core.io import archive
from core.io.archive import SUMS, read_archive, write_archive
from core.io.score_table import ScoreTable
from core.reports.evaluation_pdf import summary_files
from tests.bundles import FOLDER, QUESTIONS, about, bundle, sources

PDF, PNG = b"%PDF-1.4", b"\x89PNG\r\n\x1a\n"
FILES = {f"summary_{language}.pdf": PDF for language in LANGUAGES} | {"figures/severe_roc.png": PNG}


@cache
def whole() -> bytes:
    made = bundle()
    return write_bundle(made, summary_files(made.about, printed_questions(made)))


@cache
def light() -> bytes:
    return write_bundle(bundle(), FILES)


def rewritten(name: str, content: bytes | None) -> bytes:
    """The archive with one file changed, added or taken away, and sums that fit."""
    files = {**read_archive(light()), name: content}
    return write_archive({own: data for own, data in files.items() if data is not None})


def changed_json(name: str, change: Any) -> bytes:
    """The archive with one JSON file changed in place."""
    value = json.loads(read_archive(light())[name])
    change(value)
    data = (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
    return rewritten(name, data)


# --- there and back --------------------------------------------------------------------------------------------------


def test_a_bundle_comes_back_as_it_was() -> None:
    assert read_bundle(whole()) == bundle()


def test_equal_input_gives_equal_bytes_in_any_order_of_files() -> None:
    made = bundle()
    again = dict(reversed(summary_files(made.about, printed_questions(made)).items()))
    assert write_bundle(made, again) == whole()


def test_the_numbers_are_those_of_the_same_table() -> None:
    """Against the statistics of the hospital's own table, in its own order, with its own patients."""
    rows = [own for own in sources() if own.question == "moderate"]
    patient = np.unique([own.patient for own in rows], return_inverse=True)[1]
    table = ScoreTable(np.array([o.is_positive for o in rows]), np.array([o.score for o in rows]), patient, None, None)
    expected = measure_scores(table, threshold=0.5, prevalence=0.1)
    found = json.loads(read_archive(light())["metrics.json"])["aggregates"]["moderate"]
    for key in ("n", "n_subjects", "intervals", "metrics", "calibration", "decision_curve", "operating_points"):
        assert found[key] == expected[key], key
    assert set(found["subgroups"]) == {"site 0", "site 1", "site 2"}


def test_the_numbers_can_be_measured_again_without_the_data() -> None:
    back = read_bundle(light())
    assert measure_cases(back.about, back.cases) == back.metrics
    table = score_table(back, "severe")
    rows = [own for own in sources() if own.question == "severe"]
    assert sorted(table.score) == sorted(own.score for own in rows)
    assert table.patient is not None
    assert len(np.unique(table.patient)) == 60
    assert table.group is not None
    assert table.group.known == ("site 0", "site 1", "site 2")
    with pytest.raises(BundleError, match="no case answers"):
        score_table(back, "mild")


def test_youden_is_found_on_the_cases() -> None:
    made = bundle()
    assert made.about["operating_points"]["moderate"]["threshold"] == 0.5
    found = made.metrics["severe"]["operating_points"]["youden"]["threshold"]
    assert made.about["operating_points"]["severe"]["threshold"] == pytest.approx(found, abs=1e-6)


def test_patients_that_are_not_known_stay_so() -> None:
    made = make_bundle(about(), [replace(own, patient="") for own in sources()])
    assert {case.patient for case in made.cases} == {0}
    assert score_table(made, "severe").patient is None
    assert printed_questions(made)["severe"].n_patients is None


# --- what is in it ---------------------------------------------------------------------------------------------------


def test_every_file_is_listed_with_its_size_and_meaning() -> None:
    with zipfile.ZipFile(io.BytesIO(whole())) as opened:
        inside = {entry.filename: entry.file_size for entry in opened.infolist()}
        assert {entry.date_time for entry in opened.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        readme = opened.read("README.txt").decode()
    listed = list_files(whole())
    assert {own.name: own.n_bytes for own in listed} == inside
    assert all(own.holds for own in listed)
    assert len([name for name in inside if name.startswith("figures/")]) == 2 * 2 * 6
    assert all(f"{name}: " in readme for name in inside)
    assert "Simulated data only: numbers carry no clinical meaning" in readme
    assert "not a medical device" in readme


def test_a_list_of_what_is_no_bundle_is_refused() -> None:
    with pytest.raises(BundleError, match="no bundle has"):
        list_files(rewritten("more.txt", b"x"))


def test_nobody_and_no_machine_is_in_it() -> None:
    secrets = {"Doe", "Jane", "MRN-0042", "radiology7", "/srv", ".dcm"}
    machine = (socket.gethostname(), getpass.getuser(), str(Path.home()), str(Path.cwd()))
    secrets |= {name for name in machine if len(name) > 4}  # "root" stands in many words
    assert any("Doe" in own.file for own in sources())
    streams = re.compile(rb"stream\r?\n(.*?)\r?\nendstream", re.DOTALL)
    for name, content in read_archive(whole()).items():
        texts = [name.encode(), content]
        if name.endswith(".pdf"):
            texts += [zlib.decompressobj().decompress(own) for own in streams.findall(content) if own[:1] == b"x"]
            texts += [page.extract_text().encode() for page in PdfReader(io.BytesIO(content)).pages]
        for text in texts:
            assert [secret for secret in secrets if secret.encode() in text] == [], name


def test_the_environment_names_versions_alone() -> None:
    found = json.loads(read_archive(light())["environment.json"])
    assert found.keys() == {"python", "implementation", "system", "machine", "fivefold", "packages"}
    assert found["packages"]["numpy"] == np.__version__


def test_cells_are_no_formulas() -> None:
    rows = list(csv.DictReader(io.StringIO(read_archive(light())["cases.csv"].decode())))
    assert {row["note"] for row in rows} == {"", "'=1+1"}
    assert read_bundle(light()).cases == bundle().cases
    keyed = list(csv.DictReader(io.StringIO(key_table([replace(sources()[0], file="@x", patient="-p")]).decode())))
    assert (keyed[0]["file"], keyed[0]["patient"]) == ("'@x", "'-p")


def test_a_command_loses_its_paths() -> None:
    words = ["python", "-m", "core", "evaluate", "--scores", "Doe.csv", "--json=C:\\x\\y", "--threshold", "0.25", "~/a"]
    expected = "python -m core evaluate --scores PATH --json=PATH --threshold 0.25 PATH"
    assert clean_command(words) == expected
    assert about()["command"] == "python -m core evaluate knee_djd --data PATH --json=PATH"


# --- numbers in place of names ---------------------------------------------------------------------------------------


def test_the_key_leads_back_to_every_case() -> None:
    given = sources()
    keyed = {int(row["number"]): row for row in csv.DictReader(io.StringIO(key_table(given).decode()))}
    by_file = {(own.file, own.question): own for own in given}
    cases = number_cases(given)
    assert sorted(keyed) == list(range(1, 121))
    for case in cases:
        row = keyed[case.number]
        own = by_file[row["file"], case.question]
        assert (own.patient, own.score, own.is_positive) == (row["patient"], case.score, case.is_positive)
        assert given[int(row["row"]) - 1].file == own.file
        assert int(row["patient_number"]) == case.patient


def test_a_number_tells_nothing_of_the_place_the_name_or_the_score() -> None:
    given = sources()
    cases = [case for case in number_cases(given) if case.question == "severe"]
    place = {own.score: place for place, own in enumerate(given)}
    for values in ([place[case.score] for case in cases], [case.score for case in cases], [c.patient for c in cases]):
        assert abs(np.corrcoef(values, [case.number for case in cases])[0, 1]) < 0.3


def test_numbers_change_with_every_detail_of_the_input() -> None:
    given = sources()
    other = [replace(given[0], score=given[0].score + 1e-9), *given[1:]]
    files = [[row["file"] for row in csv.DictReader(io.StringIO(key_table(own).decode()))] for own in (given, other)]
    assert files[0] != files[1]
    assert number_cases(given) == number_cases(sources())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"note": "seen with MRN-0042-0"}, "names a patient"),
        ({"group": "doe_jane_000.DCM"}, "names a patient or a file"),
        ({"score": float("nan")}, "finite number"),
        ({"question": "Severe!"}, "string pattern mismatch"),
        ({"note": "a\nb"}, "string pattern mismatch"),
        ({"group": "x" * 201}, "string too long"),
        ({"patient": ""}, "known in part"),
        ({"group": ""}, "known in part"),
        ({"patient": "MRN-0042-7"}, "a case of two patients"),
        ({"question": "severe"}, "answers a question twice"),
    ],
)
def test_cases_that_cannot_be_told_are_refused(change: dict[str, Any], reason: str) -> None:
    given = sources()
    with pytest.raises(BundleError, match=reason) as caught:
        number_cases([replace(given[0], **change), *given[1:]])
    assert "MRN" not in str(caught.value)


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        {"configuration": {"where": "D:\\data\\doe"}},
        {"configuration": {"deep": [{"x": f"--data={FOLDER}"}]}},
        {"excluded": {"cannot read /srv/pacs/7": 2}},
        {"command": "python ~/run.py"},
        {"configuration": {"x": float("nan")}},
        {"configuration": {"x": (1, 2)}},
        {"configuration": {"x": object()}},
        {"statement": "good"},
        {"date": "yesterday"},
        {"patients": ["x"]},
        {"operating_points": {}},
        {"weights_sha256": "abc"},
    ],
)
def test_a_description_that_does_not_belong_is_refused(changed: dict[str, Any]) -> None:
    made = bundle()
    with pytest.raises(BundleError):
        write_bundle(Bundle(made.about | changed, made.metrics, made.cases), FILES)


@pytest.mark.parametrize(
    "files",
    [
        {},
        FILES | {"figures/severe_roc.png": PDF},
        FILES | {"figures/mild_roc.png": PNG},
        FILES | {"figures/../roc.png": PNG},
        FILES | {"key.csv": b"x"},
        FILES | {"summary_en.pdf": b"GIF"},
    ],
)
def test_files_that_do_not_belong_are_refused(files: dict[str, bytes]) -> None:
    with pytest.raises(BundleError):
        write_bundle(bundle(), files)


def test_every_flipped_byte_is_noticed_or_harmless() -> None:
    """Random damage: the bundle is refused, or what comes back is the same."""
    data, rng = light(), random.Random(5)
    expected = bundle()
    for _ in range(150):
        place = rng.randrange(len(data))
        damaged = data[:place] + bytes([data[place] ^ (1 << rng.randrange(8))]) + data[place + 1 :]
        with suppress(BundleError):
            assert read_bundle(damaged) == expected


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_half_a_bundle_is_refused(share: float) -> None:
    with pytest.raises(BundleError):
        read_bundle(light()[: int(share * len(light()))])


def test_a_changed_file_is_noticed_by_its_sum() -> None:
    files = read_archive(light()) | {SUMS: b""}
    with zipfile.ZipFile(io.BytesIO(light())) as opened:
        sums = opened.read(SUMS)
    for name, content in {"cases.csv": b"x", "more.txt": b"x"}.items():
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as tampered:
            for own, data in (files | {SUMS: sums, name: content}).items():
                tampered.writestr(own, data)
        with pytest.raises(BundleError, match="SHA-256"):
            read_bundle(buffer.getvalue())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda v: v["case"][0].update(score=0.5), "not what this program writes"),
        (lambda v: v["case"][0].update(number=-1), "greater than equal"),
        (lambda v: v["case"][0].update(name="Doe"), "extra forbidden"),
        (lambda v: v["case"].reverse(), "out of order"),
        (lambda v: v["aggregates"].pop("severe"), "not of the same questions"),
        (lambda v: v.update(more=1), "another form"),
        (lambda v: v["aggregates"]["severe"].update(x="/srv/pacs/doe"), "path"),
    ],
)
def test_numbers_that_do_not_fit_are_refused_even_with_fitting_sums(change: Any, reason: str) -> None:
    with pytest.raises(BundleError, match=reason) as caught:
        read_bundle(changed_json("metrics.json", change))
    assert "Doe" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.json", b'{"case": [], "aggregates": {}}'),
        ("metrics.json", b"[" * 100_000),
        ("configuration.json", b'{"format": NaN}'),
        ("configuration.json", b"null"),
        ("environment.json", b"{}\n"),
        ("README.txt", None),
        ("summary_ko.pdf", None),
        ("more.txt", b"x"),
    ],
)
def test_other_files_are_refused_even_with_fitting_sums(name: str, content: bytes | None) -> None:
    with pytest.raises(BundleError):
        read_bundle(rewritten(name, content))


@pytest.mark.parametrize(("old", "new"), [(b"\n", b"\n "), (b"{", b'{"task": "", ')], ids=["spaces", "key twice"])
def test_json_written_in_another_way_is_refused(old: bytes, new: bytes) -> None:
    data = read_archive(light())["configuration.json"].replace(old, new, 1)
    assert json.loads(data) == bundle().about
    with pytest.raises(BundleError, match="not what this program writes"):
        read_bundle(rewritten("configuration.json", data))


# --- hostile archives ------------------------------------------------------------------------------------------------


def zipped(*entries: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as made:
        for name, content in entries:
            made.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no zip file"),
        (b"PK\x03\x04" + b"\0" * 50, "damaged"),
        (zipped(("a.txt", bytes(2**25))), "too many bytes"),
        (zipped(*((f"f{k}.txt", b"") for k in range(401))), "401 files"),
        (zipped(("../x.txt", b"")), "not expected"),
        (zipped(("/etc/passwd", b"")), "not expected"),
        (zipped(("a\\b.txt", b"")), "not expected"),
        (zipped(("a/b/c.txt", b"")), "not expected"),
        (zipped(("a.txt", b""), method=zipfile.ZIP_BZIP2), "unusual way"),
        (zipped(("a.txt", b"")), SUMS),
    ],
)
def test_a_hostile_archive_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(BundleError, match=reason):
        read_bundle(data)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_is_refused() -> None:
    with pytest.raises(BundleError, match="there twice"):
        read_archive(zipped(("a.txt", b"1"), ("a.txt", b"2")))


def test_bytes_are_counted_over_all_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 3 * 2**20)
    noise = random.Random(0).randbytes(2**20)
    with pytest.raises(BundleError, match="too many bytes"):
        read_archive(zipped(*((f"f{k}.txt", noise) for k in range(4))))


def test_a_bundle_that_could_not_be_read_back_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 400 * 256 + 10)
    with pytest.raises(BundleError, match="at most"):
        write_archive({"a.txt": bytes(11)})
    monkeypatch.setattr(module, "MAX_ROWS", 10)
    with pytest.raises(BundleError, match="240 rows"):
        write_bundle(bundle(), FILES)


def test_one_question_of_few_cases_is_enough() -> None:
    few = [SourceCase("severe", k < 2, k / 4, f"{k}") for k in range(4)]
    point = {"severe": {"origin": "hand", "threshold": 0.3, "prevalence": None}}
    made = make_bundle(about(operating_points=point), few)
    data = write_bundle(made, summary_files(made.about, printed_questions(made)))
    assert read_bundle(data) == made
    assert QUESTIONS[1] in made.questions
