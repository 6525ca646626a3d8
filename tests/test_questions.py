"""What an evaluation answered, read back as questions: truth, scores, thresholds and groups by other means; cases and notes."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from factory import manifest_facts
from task_manifests import manifest_of
from tiny_masks import INSIDE, THRESHOLDS, N, answers, evidence, masks_manifest
from tiny_masks import LABELS as LESIONS

from core.errors import UsageError
from core.evaluation.case_list import CELLS, cell_of, list_cases
from core.evaluation.evaluate import Answer, write_cases
from core.evaluation.notes import MAX_WORDS, OPINIONS, Note, notes_csv, notes_json, notes_of, with_note
from core.evaluation.questions import CASES, Question, read_grading, read_questions
from core.io import box_evidence, pixel_evidence
from core.io.score_table import Names, ScoreTable
from core.manifest import Manifest
from core.metrics.grading import grading_report
from core.metrics.pixel_histogram import N_BINS
from core.records import Frame, LabelledCase, Study

PATIENTS = ("p2", "p1", "p2", "p3")
HASHES = tuple(f"{number:032x}" for number in range(4))


def answered(target: float, number: int, *probabilities: float) -> Answer:
    pixels = np.full((2, 2), number, np.float32)
    study = Study((Frame(pixels, "relative"),), "0" * 64, "dicom")
    case = LabelledCase(f"case-{number}", PATIENTS[number], study, target)
    return Answer.to(case, probabilities, "installed model")


def hashes(given: list[Answer]) -> tuple[str, ...]:
    return tuple(answer.pixel_hash for answer in given)


def with_points(manifest: Manifest, **points: tuple[str, float]) -> Manifest:
    """Operating points by id: label and threshold."""
    (first,) = manifest_facts()["operating_points"]
    own = [{**first, "id": name, "label": label, "threshold": at} for name, (label, at) in points.items()]
    return Manifest.model_validate(manifest.model_dump() | {"operating_points": own})


# --- classifiers and graders -----------------------------------------------------------------------------------------


def test_a_classifier_answers_one_question(tmp_path: Path) -> None:
    manifest = with_points(manifest_of("hip_osteoporosis"), youden=("osteoporosis", 0.4), high=("osteoporosis", 0.2))
    given = [answered(target, number, score) for number, (target, score) in enumerate([(1, 0.9), (0, 0.1), (1, 0.3)])]
    write_cases(tmp_path / CASES, manifest, given)
    (question,) = read_questions(tmp_path, manifest, {})
    assert question.label == "osteoporosis"
    assert list(question.points.items()) == [("youden", 0.4), ("high", 0.2)]
    assert question.table.is_positive.tolist() == [True, False, True]
    assert question.table.score.tolist() == [0.9, 0.1, 0.3]
    assert question.cases == ("case-0", "case-1", "case-2")
    assert question.pixel_hashes == hashes(given)
    assert question.table.group is None
    patient = question.table.patient
    assert patient is not None
    assert patient[0] == patient[2] != patient[1]
    assert read_grading(tmp_path, manifest) is None


def test_groups_are_those_of_the_images(tmp_path: Path) -> None:
    manifest = manifest_of("hip_osteoporosis")
    given = [answered(number % 2, number, 0.5) for number in range(4)]
    write_cases(tmp_path / CASES, manifest, given)
    own = hashes(given)
    (question,) = read_questions(
        tmp_path, manifest, {own[0]: "north", own[2]: "south", own[3]: "north", "other": "west"}
    )
    group = question.table.group
    assert group is not None
    assert [group.known[place] for place in group.place] == ["north", "", "south", "north"]
    assert set(group.known) == {"north", "", "south"}


def test_a_grader_answers_a_question_for_every_cut(tmp_path: Path) -> None:
    manifest = with_points(
        manifest_of("knee_djd"), worse=("moderate", 0.4), any=("minimal", 0.6), more=("minimal", 0.3)
    )
    rng = np.random.default_rng(3)
    probabilities, targets = rng.dirichlet(np.ones(5), 4), (0, 1, 3, 4)
    given = [answered(targets[number], number, *row) for number, row in enumerate(probabilities)]
    write_cases(tmp_path / CASES, manifest, given)
    found = {question.label: question for question in read_questions(tmp_path, manifest, {})}
    assert list(found) == ["moderate", "minimal"]
    assert dict(found["minimal"].points) == {"any": 0.6, "more": 0.3}
    assert found["minimal"].table.is_positive.tolist() == [False, True, True, True]
    assert found["moderate"].table.is_positive.tolist() == [False, False, True, True]
    assert found["minimal"].table.score == pytest.approx(1 - probabilities[:, 0], abs=1e-5)
    assert found["moderate"].table.score == pytest.approx(probabilities[:, 3:].sum(axis=1), abs=1e-5)
    graded = read_grading(tmp_path, manifest)
    direct = grading_report(np.array(targets, float), probabilities, np.array(PATIENTS))
    assert graded is not None
    assert (graded.n, graded.n_groups, graded.accuracy) == (4, 3, direct.accuracy)
    assert np.array_equal(graded.confusion.counts, direct.confusion.counts)


# --- places ----------------------------------------------------------------------------------------------------------


def test_a_detector_answers_for_every_label(tmp_path: Path) -> None:
    manifest = manifest_of("chest_lesions")
    labels, box = manifest.labels, [10.0, 20.0, 60.0, 80.0]
    detected = [[[*box, 1, 0.25], [*box, 1, 0.75], [*box, 3, 0.5]], [], [[*box, 3, 0.125]]]
    reference = [[[*box, 1]], [[*box, 3]], []]
    images = [
        box_evidence.ImageAnswer(
            f"case-{number}",
            PATIENTS[number],
            HASHES[number],
            -1,
            np.array(detected[number], np.float64).reshape(-1, 6),
            np.array(reference[number], np.float64).reshape(-1, 5),
        )
        for number in range(3)
    ]
    evidence_of = box_evidence.evidence_of(labels, images, np.zeros((0, 6)))
    (tmp_path / box_evidence.FILE).write_bytes(evidence_of.to_bytes())
    found = {own.label: own for own in read_questions(tmp_path, manifest, {HASHES[1]: "north"})}
    assert tuple(found) == labels
    first, third, other = (found[labels[place]] for place in (0, 2, 1))
    assert first.table.is_positive.tolist() == [True, False, False]
    assert first.table.score.tolist() == [0.75, 0, 0]
    assert third.table.is_positive.tolist() == [False, True, False]
    assert third.table.score.tolist() == [0.5, 0, 0.125]
    assert not other.table.is_positive.any()
    assert not other.table.score.any()
    assert first.points == {
        point.id: point.threshold for point in manifest.operating_points if point.label == labels[0]
    }
    assert (first.cases, first.pixel_hashes) == (("case-0", "case-1", "case-2"), HASHES[:3])
    group = third.table.group
    assert group is not None
    assert [group.known[place] for place in group.place] == ["", "north", ""]


def test_a_segmenter_answers_by_its_highest_pixel(tmp_path: Path) -> None:
    (tmp_path / pixel_evidence.FILE).write_bytes(evidence().to_bytes())
    found = read_questions(tmp_path, masks_manifest(), {f"{0:064x}": "north"})
    assert [question.label for question in found] == list(LESIONS)
    for place, question in enumerate(found):
        assert set(question.points.values()) == {THRESHOLDS[question.label]}
        highest = [answer.scores[place][INSIDE].max() for answer in answers()]
        assert question.table.score == pytest.approx(np.floor(np.array(highest) * N_BINS) / N_BINS)
        assert question.table.is_positive.tolist() == [bool(answer.truth[place].any()) for answer in answers()]
        assert question.cases == tuple(f"eye_{number}" for number in range(N))


def test_a_photograph_without_a_field_has_no_score(tmp_path: Path) -> None:
    dark = [pixel_evidence.evidence_of(own) for own in answers()[:2]]
    dark[1]["histograms"] = np.zeros_like(dark[1]["histograms"])
    (tmp_path / pixel_evidence.FILE).write_bytes(pixel_evidence.gather(dark).to_bytes())
    for question in read_questions(tmp_path, masks_manifest(), {}):
        assert question.table.score[0] > 0
        assert question.table.score[1] == 0


# --- folders of another form -----------------------------------------------------------------------------------------

HIP_HEAD = "case,patient,pixel_hash,label,p_osteoporosis\n"


@pytest.mark.parametrize("task", ["hip_osteoporosis", "knee_djd", "chest_lesions", "retina_lesions"])
@pytest.mark.parametrize(
    "content", [None, b"", b"case,patient\n1\n", b"PK\x03\x04 torn", b"\xff\xfe\x00", b"\0,\0\n\0\n"]
)
def test_a_folder_without_answers_is_refused(tmp_path: Path, task: str, content: bytes | None) -> None:
    if content is not None:
        for name in (CASES, box_evidence.FILE, pixel_evidence.FILE):
            (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError):
        read_questions(tmp_path, manifest_of(task), {})
    if task == "knee_djd":
        with pytest.raises(UsageError):
            read_grading(tmp_path, manifest_of(task))


@pytest.mark.parametrize("rows", ["a,p,h,one,0.5\n", "a,p,h,1,high\n", "a,p\n", ""])
def test_a_row_of_another_form_is_refused(tmp_path: Path, rows: str) -> None:
    (tmp_path / CASES).write_text(HIP_HEAD + rows)
    with pytest.raises(UsageError, match="no answers of this model"):
        read_questions(tmp_path, manifest_of("hip_osteoporosis"), {})


def test_answers_of_another_model_are_refused(tmp_path: Path) -> None:
    write_cases(tmp_path / CASES, manifest_of("hip_osteoporosis"), [answered(1, 0, 0.5)])
    with pytest.raises(UsageError, match="no answers of this model"):
        read_questions(tmp_path, manifest_of("knee_djd"), {})


# --- the list of cases -----------------------------------------------------------------------------------------------


def question_of(score: list[float], is_positive: list[bool], group: Names | None = None) -> Question:
    table = ScoreTable(np.array(is_positive), np.array(score), None, group, None)
    names = tuple(f"case-{number}" for number in range(len(score)))
    return Question("finding", {}, table, names, tuple(f"hash-{number}" for number in range(len(score))))


def test_the_most_surprising_cases_come_first() -> None:
    group = Names(("north", "south"), np.array([0, 1, 0, 1, 0, 1]))
    question = question_of([0.9, 0.1, 0.5, 0.2, 0.99, 0.5], [False, True, False, False, True, True], group)
    rows = list_cases(question, 0.5)
    assert [(row.place, row.cell) for row in rows] == [
        (0, "false_positive"),  # 0.4 beyond, as the next, which stands behind it in the table
        (1, "false_negative"),
        (2, "false_positive"),  # at the threshold is positive
        (4, "true_positive"),
        (3, "true_negative"),
        (5, "true_positive"),
    ]
    assert [row.group for row in rows] == ["north", "south", "north", "north", "south", "south"]
    assert [(row.case, row.pixel_hash, row.score) for row in rows[:2]] == [
        ("case-0", "hash-0", 0.9),
        ("case-1", "hash-1", 0.1),
    ]


def test_cells_are_those_of_the_confusion_matrix() -> None:
    cells = [cell_of(truth, called) for truth in (True, False) for called in (False, True)]
    assert sorted(cells) == sorted(CELLS)
    rng = np.random.default_rng(0)
    truth, score = rng.random(200) < 0.4, rng.random(200)
    rows = list_cases(question_of(score.tolist(), truth.tolist()), 0.3)
    counts = [sum(row.cell == cell for row in rows) for cell in CELLS]
    called = score >= 0.3
    assert counts == [
        (truth & ~called).sum(),
        (~truth & called).sum(),
        (truth & called).sum(),
        (~truth & ~called).sum(),
    ]
    assert {row.group for row in rows} == {""}


# --- notes -----------------------------------------------------------------------------------------------------------


def test_notes_come_back_and_the_last_word_counts() -> None:
    notes = with_note([], Note("case-1", "a", "agree", "clear"))
    notes = with_note(notes, Note("case-1", "b", "disagree"))
    notes = with_note(notes, Note("case-2", "a", "agree"))
    notes = with_note(notes, Note("case-1", "a", "label looks wrong", "  two\nlines\t and   " + "x" * 600))
    assert [(note.case, note.label, note.opinion) for note in notes] == [
        ("case-1", "b", "disagree"),
        ("case-2", "a", "agree"),
        ("case-1", "a", "label looks wrong"),
    ]
    assert notes[-1].words.startswith("two lines and xxx")
    assert len(notes[-1].words) == MAX_WORDS
    assert notes_of(notes_json(notes)) == notes
    assert notes_of(None) == []
    assert {note.opinion for note in notes} == set(OPINIONS)


@pytest.mark.parametrize("words", ["=1+1", "+1", "-1", "@SUM(A1)", "'quoted", '=HYPERLINK("http://x","y")'])
def test_no_note_is_a_formula(words: str) -> None:
    notes = with_note([], Note("=case", "@label", "agree", words))
    (row,) = csv.DictReader(io.StringIO(notes_csv(notes).decode()))
    assert row == {"case": "'=case", "label": "'@label", "opinion": "agree", "words": f"'{words}"}


def test_words_stay_as_they_are() -> None:
    words = 'no "effusion", 無, 없음'
    (row,) = csv.DictReader(io.StringIO(notes_csv([Note("c", "l", "agree", words)]).decode()))
    assert row["words"] == words
