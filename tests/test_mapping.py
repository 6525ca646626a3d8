"""A hospital's table on its images: which row belongs to which image, what its texts mean, and what is counted as left out."""

import csv
import io
import itertools
import json
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from io_files import dicom, ramp

from core import registry
from core.cli.main import main
from core.clinical.osteoporosis import who_class
from core.errors import TableError
from core.evaluation import mapped_table, mapping
from core.evaluation.file_index import FileIndex, IndexedFile, index_folder
from core.evaluation.known import Known
from core.evaluation.mapped_table import FileNames, MappedTable, apply_mapping
from core.evaluation.mapping import TableMapping, Unlabelled
from core.evaluation.precheck import Precheck, check
from core.evaluation.suggestion import suggest, texts
from core.io.image_archive import read_names, unpack_zip
from core.io.label_table import LabelTable
from core.io.reader import shared_reader

HIP, CT, KNEE = "hip_osteoporosis", "ct_osteoporosis", "knee_djd"
BINARY = {"0": 0, "1": 1}


def table(text: str) -> LabelTable:
    return LabelTable.of(list(csv.reader(io.StringIO(text))))


def hip(**facts: Any) -> TableMapping:
    own = {"task": HIP, "key": "file", "key_columns": ["file"], "label_columns": ["label"]}
    return TableMapping.model_validate(own | ({} if "cuts" in facts else {"vocabulary": BINARY}) | facts)


def index(*names: str, **facts: Any) -> FileIndex:
    """Files that can be read, each with pixels of its own."""
    return FileIndex(tuple(IndexedFile(name, name, f"pixels of {name}", **facts) for name in sorted(names)))


def labels(mapped: MappedTable) -> list[tuple[str, str, str]]:
    return [(row["file"], row["laterality"], row["label"]) for row in mapped.rows]


# --- names of files --------------------------------------------------------------------------------------------------

FILES = ["a.dcm", "B/c.dcm", "D/c.dcm", "e/x.dcm", "e/X.dcm", "환자.dcm", "1.2.840.dcm", "f/scan.mat", "f/scan.dcm"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a.dcm", ["a.dcm"]),
        ("A.DCM", ["a.dcm"]),
        ("./a.dcm", ["a.dcm"]),
        ("C:\\export\\a.dcm", ["a.dcm"]),
        ("b\\C.dcm", ["B/c.dcm"]),
        ("/data/set/D/c.dcm", ["D/c.dcm"]),
        ("c.dcm", ["B/c.dcm", "D/c.dcm"]),
        ("E/c.dcm", []),
        ("e/x.dcm", ["e/x.dcm"]),
        ("e/x.DCM", ["e/x.dcm", "e/X.dcm"]),
        ("a", ["a.dcm"]),
        ("1.2.840", ["1.2.840.dcm"]),
        ("f/scan", ["f/scan.mat", "f/scan.dcm"]),
        ("환자.dcm", ["환자.dcm"]),  # as macOS writes it
        ("", []),
        ("/", []),
        ("..", []),
        ("a.dcm/", []),
        ("missing", []),
    ],
)
def test_a_name_finds_its_file(text: str, found: list[str]) -> None:
    names = FileNames(FILES)
    assert [FILES[place] for place in names.find(text)] == found


def test_equal_names_of_an_archive_are_ambiguous() -> None:
    assert FileNames(["a", "a"]).find("a") == [0, 1]


# --- what a cell means -----------------------------------------------------------------------------------------------


def meaning(found: TableMapping, *cells: str) -> int | str:
    try:
        return found.label(list(cells))
    except Unlabelled as reason:
        return str(reason)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("1", 1),
        ("1.0", 1),
        ("POSITIVE", 1),
        ("nd", mapping.NO_LABEL),
        ("", mapping.NO_LABEL),
        ("2", mapping.UNKNOWN_TEXT),
        ("nan", mapping.UNKNOWN_TEXT),
        ("maybe", mapping.UNKNOWN_TEXT),
    ],
)
def test_vocabulary(cell: str, expected: int | str) -> None:
    assert meaning(hip(vocabulary=BINARY | {"positive": 1, "ND": "not read"}), cell) == expected


@given(st.decimals(-9, 9, places=2))
def test_t_scores_give_the_classes_of_who(t_score: Any) -> None:
    osteoporotic = who_class(float(t_score))
    three = hip(task=CT, cuts=(-2.5, -1.0))
    assert meaning(three, str(t_score)) == ["normal", "low_bone_mass", "osteoporosis"].index(osteoporotic)
    assert meaning(hip(cuts=(-2.5,)), str(t_score)) == (osteoporotic == "osteoporosis")


@pytest.mark.parametrize("cell", ["-2,6", "−2.6", "-2.6 ", "-2.60"])
def test_t_scores_as_they_are_written(cell: str) -> None:
    assert meaning(hip(cuts=(-2.5,)), cell.strip()) == 1


@pytest.mark.parametrize("cell", ["0.712 g/cm2", "-1,000", "-25", "999", "nan", "inf", "x"])
def test_what_is_no_t_score(cell: str) -> None:
    assert meaning(hip(cuts=(-2.5,)), cell) == mapping.NO_T_SCORE


@pytest.mark.parametrize(
    ("cells", "majority", "agree", "first", "highest"),
    [
        ("111", 1, 1, 1, 1),
        ("110", 1, None, 1, 1),
        ("10 ", None, None, 1, 1),
        ("  0", 0, 0, 0, 0),
        ("012", None, None, 0, 2),
        ("202", 2, None, 2, 2),
        ("   ", None, None, None, None),
    ],
)
def test_readers(cells: str, majority: object, agree: object, first: object, highest: object) -> None:
    rules = ("majority", "all agree", "first", "highest")
    for rule, expected in zip(rules, (majority, agree, first, highest), strict=True):
        words = {str(value): value for value in range(3)}
        found = hip(task=CT, layout="readers", label_columns=["x", "y", "z"], rule=rule, vocabulary=words)
        given_label = meaning(found, *[cell.strip() for cell in cells])
        assert (given_label if isinstance(given_label, int) else None) == expected
        for shuffled in itertools.permutations(cells):
            if rule != "first":
                assert meaning(found, *[cell.strip() for cell in shuffled]) == given_label


# --- rows and images -------------------------------------------------------------------------------------------------


def test_ten_tables_that_are_wrong() -> None:
    """F40: nothing is dropped without being counted."""
    files = index("a", "b", "c")
    cases: list[tuple[str, list[str], dict[str, int]]] = [
        ("file,label\na,1\nb,0\nc,1\n", ["a", "b", "c"], {}),
        ("file,label\na,1\nb,0\n", ["a", "b"], {mapped_table.NO_ROW: 1}),
        ("file,label\na,1\nb,0\nc,1\nd,1\n", ["a", "b", "c"], {mapped_table.NO_IMAGE: 1}),
        ("file,label\na,1\nb,nan\nc,1\n", ["a", "c"], {mapping.UNKNOWN_TEXT: 1}),
        ("file,label\na,1\nb,\nc,7\n", ["a"], {mapping.NO_LABEL: 1, mapping.UNKNOWN_TEXT: 1}),
        ("file,label\na,1\na,1\nb,0\nc,0\n", ["a", "b", "c"], {mapped_table.REPEATED: 1}),
        ("file,label\na,1\na,0\nb,0\nc,0\n", ["b", "c"], {mapped_table.CONTRADICTION: 2}),
        ("file,label\n,1\nb,0\nc,0\n", ["b", "c"], {mapped_table.NO_KEY: 1, mapped_table.NO_ROW: 1}),
        ("file,label\nq,1\n./b,0\nx\\c,0\n", ["b", "c"], {mapped_table.NO_IMAGE: 1, mapped_table.NO_ROW: 1}),
        ("file,label\nx,1\ny,0\n", [], {mapped_table.NO_IMAGE: 2, mapped_table.NO_ROW: 3}),
    ]
    for text, kept, dropped in cases:
        mapped = apply_mapping(hip(), table(text), files)
        assert ([row["file"] for row in mapped.rows], mapped.dropped) == (kept, Counter(dropped)), text


def test_numbers_of_rows_and_images_without_each_other() -> None:
    files = FileIndex((*index("a", "b", "c").files, IndexedFile("d", "d", error="E_TAG")))
    mapped = apply_mapping(hip(), table("file,label\nx,1\nb,1\ny,0\nd,0\n"), files)
    assert (mapped.rows_without_image, mapped.images_without_row) == ((1, 3), (1, 3))
    assert mapped.dropped == {mapped_table.NO_IMAGE: 2, mapped_table.NO_ROW: 2, mapped_table.UNREADABLE: 1}


def test_a_bare_name_that_two_folders_have_is_refused() -> None:
    mapped = apply_mapping(hip(), table("file,label\na.dcm,1\ny/a.dcm,0\n"), index("x/a.dcm", "y/a.dcm"))
    assert labels(mapped) == [("y/a.dcm", "", "0")]
    assert mapped.dropped == {mapped_table.AMBIGUOUS: 1}


def test_one_row_of_two_sides_gives_two_cases() -> None:
    words = {str(value): value for value in range(5)}
    both = hip(task=KNEE, layout="sides", label_columns=["r", "l"], vocabulary=words)
    mapped = apply_mapping(both, table("file,r,l\na,4,2\nb,0,\n"), index("a", "b"))
    assert labels(mapped) == [("a", "L", "2"), ("a", "R", "4"), ("b", "R", "0")]
    assert mapped.dropped == {mapping.NO_LABEL: 1}


@pytest.mark.parametrize(("side", "expected"), [("右", "R"), ("left", "L"), ("L", "L"), ("우측", "R")])
def test_side_of_a_column(side: str, expected: str) -> None:
    mapped = apply_mapping(hip(laterality="side"), table(f"file,label,side\na,1,{side}\n"), index("a"))
    assert labels(mapped) == [("a", expected, "1")]


def test_sides_that_are_missing_unknown_or_wrong() -> None:
    files = FileIndex((*index("a", "b").files, IndexedFile("c", "c", "p", side="R")))
    rows = table("file,label,side\na,1,both\nb,1,\nc,1,L\n")
    mapped = apply_mapping(hip(laterality="side"), rows, files)
    assert labels(mapped) == [("b", "", "1")]
    assert mapped.dropped == {mapped_table.UNKNOWN_SIDE: 1, mapped_table.OTHER_SIDE: 1}
    knee = apply_mapping(hip(task=KNEE, laterality="side"), rows, files)
    assert knee.dropped[mapped_table.NO_SIDE] == 1  # a bone scan shows both knees
    assert labels(apply_mapping(hip(), rows, files))[-1] == ("c", "R", "1")


# --- examinations ----------------------------------------------------------------------------------------------------

SECRETS = ("ZZ-PATIENT-1", "ZZ-PATIENT-2", "ZZ-ACC-1", "ZZ-ACC-2", "ZZ-ACC-3")


def tagged(shift: int, patient: int, accession: int, day: str, side: str | None = None) -> bytes:
    facts = {"PatientID": f"ZZ-PATIENT-{patient}", "AccessionNumber": f"ZZ-ACC-{accession}", "StudyDate": day}
    return dicom(np.roll(ramp(), shift), **facts, ImageLaterality=side)


@pytest.fixture(scope="module")
def examinations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two films of one hip each in one examination, and one film each in two more."""
    folder = tmp_path_factory.mktemp("examinations")
    (folder / "1").write_bytes(tagged(1, 1, 1, "20240209", "R"))
    (folder / "2").write_bytes(tagged(2, 1, 1, "20240209", "L"))
    (folder / "3").write_bytes(tagged(3, 1, 2, "20250101"))
    (folder / "4").write_bytes(tagged(4, 2, 3, "20240209"))
    return folder


BY_ACCESSION = {"key": "accession", "key_columns": ["acc"]}
BY_DAY = {"key": "patient_date", "key_columns": ["id", "day"]}
ACCESSIONS = "acc,label,right,left\nZZ-ACC-1,1,1,0\nZZ-ACC-2,0,0,\nZZ-ACC-3,1,0,1\nZZ-ACC-4,1,1,1\n"
DAYS = "id,day,label\nZZ-PATIENT-1,2024-02-09,1\nZZ-PATIENT-1,2025/1/1,0\n ZZ-PATIENT-2,20240209,1\nZZ-PATIENT-2,2024-02-10,1\n"


@pytest.mark.parametrize(
    ("several", "kept", "reason"),
    [
        ("refuse", ["3", "4"], {mapped_table.SEVERAL: 1}),
        ("first", ["1", "3", "4"], {mapped_table.FURTHER: 1}),
        ("all", ["1", "2", "3", "4"], {}),
    ],
)
@pytest.mark.parametrize(("key", "text"), [(BY_ACCESSION, ACCESSIONS), (BY_DAY, DAYS)], ids=["accession", "day"])
def test_examinations(
    several: str, kept: list[str], reason: dict[str, int], key: Any, text: str, examinations: Path
) -> None:
    rows = table(text.replace(" ZZ", "ZZ"))
    mapped = apply_mapping(hip(several=several, **key), rows, index_folder(examinations))
    assert [row["file"] for row in mapped.rows] == kept
    assert mapped.dropped == {mapped_table.NO_IMAGE: 1, **reason}
    assert {row["file"]: row["label"] for row in mapped.rows if row["file"] in "34"} == {"3": "0", "4": "1"}
    assert len({row["patient"] for row in mapped.rows}) == 2


def test_sides_of_an_examination_go_to_their_own_films(examinations: Path) -> None:
    both = hip(**BY_ACCESSION, layout="sides", label_columns=["right", "left"])
    mapped = apply_mapping(both, table(ACCESSIONS), index_folder(examinations))
    assert labels(mapped) == [("1", "R", "1"), ("2", "L", "0"), ("3", "R", "0"), ("4", "L", "1"), ("4", "R", "0")]
    assert mapped.dropped == {mapping.NO_LABEL: 1, mapped_table.NO_IMAGE: 1}


def test_patients_are_hashes_that_a_table_and_a_header_share(examinations: Path) -> None:
    files = index_folder(examinations)
    (pseudonym,) = shared_reader().hash_keys(["ZZ-PATIENT-2"], "patient")
    by_header = apply_mapping(hip(), table("file,label\n4,1\n"), files)
    by_table = apply_mapping(hip(patient="who"), table("file,label,who\n3,1,ZZ-PATIENT-2\n"), files)
    assert by_header.rows[0]["patient"] == by_table.rows[0]["patient"] == pseudonym
    known = apply_mapping(hip(), table("file,label\n1,1\n4,1\n"), files, ["ZZ-PATIENT-2", "other"])
    assert [row["patient"] for row in known.rows] == [files.files[0].keys["patient"], "ZZ-PATIENT-2"]


class Trained(Known):
    """Known without a weights folder."""

    def __init__(self, pixels: set[str], folds: dict[str, int]) -> None:
        vars(self).update(pixels=pixels, folds=folds)  # what the cached properties would have read


def test_precheck_counts_and_names_nobody(examinations: Path, tmp_path: Path) -> None:
    for path in examinations.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "5").write_bytes(tagged(4, 2, 3, "20240209"))
    (tmp_path / "6").write_bytes(tagged(3, 1, 2, "20250101"))
    (tmp_path / "7").write_bytes(tagged(7, 1, 2, "20250101")[:900])
    files = index_folder(tmp_path)
    rows = table(
        "file,label,acc,who,site\n1,1,ZZ-ACC-1,ZZ-PATIENT-1,north\n3,1,ZZ-ACC-2,ZZ-PATIENT-1,south\n"
        "4,0,ZZ-ACC-3,ZZ-PATIENT-2,south\n6,0,ZZ-ACC-2,ZZ-PATIENT-1,\nZZ-ACC-9,0,,,\n"
    )
    known = Trained({files.files[2].pixel_hash or ""}, {"ZZ-PATIENT-2": 3})
    mapped = apply_mapping(hip(patient="who", group="site"), rows, files, known.folds)
    found = check(HIP, rows, files, mapped, known)
    assert found == Precheck(
        columns=("file", "label", "acc", "who", "site"),
        notes=(),
        n_rows=5,
        n_files=7,
        n_cases=4,
        n_patients=2,
        classes={"0": 2, "1": 2},
        groups={"north": 1, "south": 2},
        dropped={mapped_table.NO_IMAGE: 1, mapped_table.NO_ROW: 2},
        rows_without_image=(5,),
        images_without_row=(2, 5),
        unreadable={"E_TRUNCATED": (7,)},
        same_pixels=((4, 5),),
        contradicting_pixels=((3, 6),),
        trained_pixels=2,
        trained_patients=1,
    )
    assert check(HIP, rows, files, apply_mapping(hip(patient="who"), rows, files), known).trained_patients == 1
    everything = repr((files, found, rows, mapped)) + found.to_json()
    for secret in (*SECRETS, "ZZ", "20240209", "2024-02-09"):
        assert secret not in everything
    assert check(HIP, rows, files, mapped).trained_pixels == 0


@given(st.text(min_size=6, max_size=20, alphabet=st.characters(codec="ascii", categories=["L"])))
def test_no_id_of_a_table_or_a_header_is_kept(secret: str) -> None:
    secret = f"<{secret}>"
    hashes = shared_reader().hash_keys
    keys = {"patient": hashes([secret], "patient")[0], "accession": hashes([secret], "accession")[0]}
    files = FileIndex((IndexedFile("1", "1", "p", keys),))
    rows = table(f"acc,label,who\n{secret},1,{secret}\n{secret}x,1,{secret}\n")
    mapped = apply_mapping(hip(**{**BY_ACCESSION, "patient": "who"}), rows, files)
    assert len(mapped.rows) == 1
    assert secret not in repr((files, rows, mapped, check(HIP, rows, files, mapped))) + str(mapped.rows)
    assert secret not in check(HIP, rows, files, mapped).to_json()


# --- the record ------------------------------------------------------------------------------------------------------


def test_json_round_trip() -> None:
    saved = hip(vocabulary={"骨質疏鬆": 1, "無": 0, "未判讀": "not read"}, patient="病歷號", several="all")
    assert TableMapping.from_json(saved.to_json()) == saved
    assert TableMapping.from_json(saved.to_json()).to_json() == saved.to_json()
    assert "骨質疏鬆" in saved.to_json()


@pytest.mark.parametrize(
    "facts",
    [
        {"task": "unknown"},
        {"task": "chest_lesions"},
        {"task": "retina_lesions"},
        {"key": "name"},
        {"key_columns": ["a", "b"]},
        {"key": "patient_date"},
        {"label_columns": []},
        {"label_columns": ["a", "b"]},
        {"layout": "sides"},
        {"layout": "readers"},
        {"layout": "readers", "label_columns": ["a", "a"]},
        {"layout": "sides", "label_columns": ["a", "b"], "laterality": "side"},
        {"task": CT, "layout": "sides", "label_columns": ["a", "b"]},
        {"vocabulary": {}},
        {"vocabulary": {"2": 2}},
        {"vocabulary": {"-1": -1}},
        {"vocabulary": {"a": 0, "A": 1}},
        {"vocabulary": {"a": "maybe"}},
        {"vocabulary": BINARY, "cuts": (-2.5,)},
        {"cuts": (-2.5, -1.0)},
        {"cuts": (float("nan"),)},
        {"task": CT, "cuts": (-1.0, -2.5)},
        {"task": KNEE, "cuts": (-2.5,)},
        {"several": "some"},
        {"format": "fivefold-mapping-2"},
        {"more": 1},
    ],
)
def test_mappings_that_make_no_sense(facts: dict[str, Any]) -> None:
    good = hip().model_dump(mode="json")
    with pytest.raises(TableError) as caught:
        TableMapping.from_json(json.dumps(good | ({"vocabulary": {}} if "cuts" in facts else {}) | facts))
    assert caught.value.code == "E_MAPPING"


def test_a_table_without_the_columns() -> None:
    with pytest.raises(TableError, match=r"no column for: label, group"):
        apply_mapping(hip(group="site"), table("file,x\na,1\n"), index("a"))
    many = "file,label,site\n" + "".join(f"a,1,{k}\n" for k in range(201))
    with pytest.raises(TableError, match="201 groups"):
        apply_mapping(hip(group="site"), table(many), index("a"))


# --- suggestions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "text", "expected"),
    [
        (
            HIP,
            "Image File,T-score,Site\na,-2.7,x\n",
            {"key_columns": ("Image File",), "cuts": (-2.5,), "group": "Site"},
        ),
        (HIP, "file,label\na,-2.7\nb,-0.3\n", {"cuts": (-2.5,)}),
        (CT, "accession_number,T值\n1,-2.7\n", {"key": "accession", "cuts": (-2.5, -1.0)}),
        (CT, "PatientID,StudyDate,label\n1,20240101,Osteopenia\n", {"key": "patient_date", "patient": "PatientID"}),
        (CT, "檔名,診斷\na,骨質缺乏\nb,正常\n", {"label_columns": ("診斷",)}),
        (HIP, "파일명,진단,방향,환자번호\na,양성,우측,7\n", {"laterality": "방향", "patient": "환자번호"}),
        (KNEE, "file,右,左\na,1,2\n", {"layout": "sides", "label_columns": ("右", "左")}),
        (KNEE, "file,side,grade\na,R,2\n", {"layout": "one", "laterality": "side"}),
        (KNEE, "file,side,reader_1,reader_2,reader_3\na,R,2,2,1\n", {"layout": "readers", "rule": "majority"}),
        (CT, "file,side,label\na,R,2\n", {"laterality": None}),
    ],
)
def test_suggestions(task: str, text: str, expected: dict[str, Any]) -> None:
    found = suggest(table(text), task)
    assert {name: getattr(found, name) for name in expected} == expected
    assert apply_mapping(found, table(text), index("a", "b")).dropped.get(mapping.UNKNOWN_TEXT, 0) == 0


@pytest.mark.parametrize(
    ("task", "text"),
    [
        (HIP, "x,label\n1,1\n"),
        (HIP, "file,x\n1,1\n"),
        (KNEE, "file,t_score\na,-1\n"),
        ("chest_lesions", "file,label\na,1\n"),
    ],
)
def test_no_suggestion(task: str, text: str) -> None:
    with pytest.raises(TableError, match="E_MAPPING"):
        suggest(table(text), task)


def test_texts_are_counted() -> None:
    assert texts(table("file,x,y\na,1,nd\nb,1,\nc,0,1\n"), ("x", "y")) == {"1": 3, "0": 1, "nd": 1}


# --- phantoms --------------------------------------------------------------------------------------------------------

Phantoms = Callable[[str], Path]


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Phantoms:
    made: dict[str, Path] = {}

    def make(task: str) -> Path:
        if task not in made:
            made[task] = tmp_path_factory.mktemp(task)
            assert main(["phantom", task, "--n", "3", "--out", str(made[task])]) == 0
        return made[task]

    return make


def evaluated(task: str, folder: Path, labels_csv: Path | None) -> list[tuple[object, ...]]:
    """What a task reads: everything but the names of cases and patients."""
    cases = registry.part(task, "data").evaluation_cases(folder, labels_csv, Counter[str]())
    return [(case.study.pixel_hash, case.target, case.regions) for case in cases]


def written(folder: Path, mapped: MappedTable) -> Path:
    path = folder / "mapped.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        target = csv.DictWriter(file, mapped_table.COLUMNS)
        target.writeheader()
        target.writerows(mapped.rows)
    return path


@pytest.mark.parametrize("task", [HIP, CT, KNEE])
def test_truth_of_phantoms_needs_no_change(task: str, phantoms: Phantoms, tmp_path: Path) -> None:
    folder = phantoms(task)
    rows = shared_reader().read_table((folder / "truth.csv").read_bytes())
    mapped = apply_mapping(suggest(rows, task), rows, index_folder(folder))
    assert mapped.dropped == {}
    assert len({row["patient"] for row in mapped.rows}) == 3
    direct = evaluated(task, folder, None)
    assert sorted(map(repr, evaluated(task, folder, written(tmp_path, mapped)))) == sorted(map(repr, direct))
    assert len(direct) == (6 if task == KNEE else 3)


def test_phantoms_by_accession_in_an_archive(phantoms: Phantoms, tmp_path: Path) -> None:
    """Numbered files of an upload, renamed by the hospital, met by what their headers say."""
    folder, archive = phantoms(HIP), tmp_path / "upload.zip"
    truth = list(csv.DictReader(io.StringIO((folder / "truth.csv").read_text(encoding="utf-8"))))
    lines = ["accession,label"]
    with zipfile.ZipFile(archive, "w") as target:
        for number, row in enumerate(truth):
            file = pydicom.dcmread(folder / row["file"])
            file.AccessionNumber, file.StudyDate = f"ZZ-ACC-{number}", "20240209"
            out = io.BytesIO()
            file.save_as(out)
            target.writestr(f"export/IM{len(truth) - number:04d}", out.getvalue())
            lines.append(f"ZZ-ACC-{number},{row['label']}")
    unpack_zip(archive, tmp_path / "images")
    assert len(read_names(tmp_path / "images")) == 3
    rows = shared_reader().read_table("\n".join(lines).encode())
    mapped = apply_mapping(suggest(rows, HIP), rows, index_folder(tmp_path / "images"))
    found = evaluated(HIP, tmp_path / "images", written(tmp_path, mapped))
    assert sorted(map(repr, found)) == sorted(map(repr, evaluated(HIP, folder, None)))
