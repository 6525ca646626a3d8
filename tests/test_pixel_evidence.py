"""The file evaluation_hist.npz: what goes in comes out, a changed file is refused, and its counts are those of the pixels."""

import hashlib
import zipfile
from dataclasses import fields, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import label
from tiny_masks import INSIDE, SIDE, THRESHOLDS, N, answers, evidence

from core.errors import UsageError
from core.io.pixel_evidence import (
    FILE,
    MIN_AREA_PX,
    TOLERANCE_PX,
    ImageAnswer,
    PixelEvidence,
    evidence_of,
    gather,
    read_evidence,
)
from core.metrics.lesions import LESION_THRESHOLDS, count_lesions
from core.metrics.segmentation import segmentation_report
from core.metrics.surface_distance import surface_metrics

NAMES = tuple(one.name for one in fields(PixelEvidence))
AT = tuple(THRESHOLDS.values())
DISTANCES = ("outline_thresholds", "hausdorff95_px", "surface_dice", "outline_px")


def assert_same(one: PixelEvidence, other: PixelEvidence) -> None:
    for name in NAMES:
        first, second = getattr(one, name), getattr(other, name)
        assert first.dtype == second.dtype
        assert np.array_equal(first, second)


def written(folder: Path, content: bytes) -> str:
    (folder / FILE).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


# --- the file --------------------------------------------------------------------------------------------------------


def test_file_gives_back_what_was_written(tmp_path: Path) -> None:
    found = read_evidence(tmp_path, written(tmp_path, evidence().to_bytes()))
    assert_same(found, evidence())
    assert found.histograms.shape == found.rule_histograms.shape == (N, 2, 2, 1024)
    assert found.n_found.shape == (N, 2, len(LESION_THRESHOLDS))
    assert {getattr(found, name).dtype.kind for name in NAMES} == {"i", "f", "U"}  # nothing that needs unpickling


def test_same_evidence_gives_the_same_bytes_at_any_time() -> None:
    """So that its hash in the manifest can be made again."""
    content = evidence().to_bytes()
    assert content == gather([evidence_of(answer, AT) for answer in answers()]).to_bytes()
    with zipfile.ZipFile(BytesIO(content)) as archive:
        assert {one.date_time for one in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


@pytest.mark.parametrize("change", ["one bit", "cut", "other", "empty", "missing"])
def test_changed_file_is_refused(tmp_path: Path, change: str) -> None:
    content = evidence().to_bytes()
    sha256 = written(tmp_path, content)
    if change == "missing":
        (tmp_path / FILE).unlink()
    else:
        flipped = bytearray(content)
        flipped[len(content) // 2] ^= 1
        other = evidence().of(np.arange(N) > 0).to_bytes()
        changed = {"one bit": bytes(flipped), "cut": content[:-1], "other": other, "empty": b""}
        (tmp_path / FILE).write_bytes(changed[change])
    with pytest.raises(UsageError, match=r"missing or was changed"):
        read_evidence(tmp_path, sha256)


def test_an_older_file_has_no_distances_and_all_the_rest(tmp_path: Path) -> None:
    with np.load(BytesIO(evidence().to_bytes())) as archive:
        older = {name: archive[name] for name in archive if name not in DISTANCES}
    buffer = BytesIO()
    np.savez_compressed(buffer, **older)
    found = read_evidence(tmp_path, written(tmp_path, buffer.getvalue()))
    for name in older:
        assert np.array_equal(getattr(found, name), getattr(evidence(), name))
    assert found.surfaces(0, AT[0]) == ([], pytest.approx([]))
    mixed = gather([evidence().row(0), found.row(1), evidence_of(answers()[2])])
    outlines, patients = mixed.surfaces(0, AT[0])
    assert (outlines, patients.tolist()) == (evidence().surfaces(0, AT[0])[0][:1], ["eye_0"])
    unfinished = {name: value for name, value in evidence().row(3).items() if name not in DISTANCES}
    assert gather([unfinished, evidence().row(0)]).surfaces(1, AT[1])[1].tolist() == ["eye_0"]


# --- parts -----------------------------------------------------------------------------------------------------------


def test_some_of_the_images() -> None:
    chosen = np.isin(np.arange(N), (1, 4, 11))
    part = evidence().of(chosen)
    assert part.cases.tolist() == ["eye_1", "eye_4", "eye_11"]
    assert_same(part, gather([evidence_of(answers()[index], AT) for index in (1, 4, 11)]))
    assert part.counts(0)[1].n_lesions == evidence().counts(0)[4].n_lesions > 0


def test_rows_make_up_the_evidence() -> None:
    assert_same(gather([evidence().row(index) for index in range(N)]), evidence())


# --- agreement with the pixels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("threshold", [0.125, 0.25, 0.5, 0.75])
def test_report_at_a_threshold_is_that_of_the_pixels_themselves(place: int, threshold: float) -> None:
    truth = np.stack([answer.truth[place][INSIDE] for answer in answers()])
    called = np.stack([answer.scores[place][INSIDE] >= threshold for answer in answers()])
    at = segmentation_report(evidence().histograms[:, place], evidence().patients, threshold).at_threshold
    assert at.n_true_positive == (called & truth).sum() > 0
    assert at.n_false_positive == (called & ~truth).sum()
    assert at.n_false_negative == (~called & truth).sum()
    assert at.n_true_negative == (~called & ~truth).sum()
    assert at.dice is not None
    assert at.dice.value == pytest.approx(2 * (called & truth).sum() / (called.sum() + truth.sum()))
    assert evidence().field_px.tolist() == N * [INSIDE.sum()]


@pytest.mark.parametrize("place", [0, 1])
def test_lesions_of_an_image_are_those_of_its_own_maps(place: int) -> None:
    for answer, found in zip(answers(), evidence().counts(place), strict=True):
        maps = answer.scores[place], answer.truth[place], answer.inside
        wanted = count_lesions(*maps, LESION_THRESHOLDS, MIN_AREA_PX)
        assert (found.n_lesions, found.field_px) == (wanted.n_lesions, wanted.field_px)
        for name in ("n_found", "n_false_positive", "false_positive_px"):
            assert np.array_equal(getattr(found, name), getattr(wanted, name))


def test_rule_is_counted_beside_the_network() -> None:
    """At 0.5, on the pixels of all images."""
    for place in (0, 1):
        called = np.stack([answer.rule[place][INSIDE] >= 0.5 for answer in answers()])
        assert evidence().rule_histograms[:, place, :, 512:].sum() == called.sum()
        assert evidence().histograms[:, place, :, 512:].sum() != called.sum()


def answer_of(scores: np.ndarray, truth: np.ndarray, inside: np.ndarray = INSIDE) -> ImageAnswer:
    both = np.stack([scores, scores]).astype(np.float32)
    return replace(answers()[0], scores=both, rule=both, truth=np.stack([truth, truth]), inside=inside)


def test_what_lies_beyond_the_field_does_not_count() -> None:
    scores, truth = answers()[0].scores[0], answers()[0].truth[0]
    rows = [
        evidence_of(answer_of(np.where(INSIDE, scores, beyond), truth | (~INSIDE if marked else False)), AT)
        for beyond, marked in ((0.0, False), (1.0, True))
    ]
    for name in NAMES:
        assert np.array_equal(np.asarray(rows[0][name]), np.asarray(rows[1][name]))


@pytest.mark.parametrize(("side", "n_pieces"), [(1, 0), (2, 1)])
def test_piece_below_the_least_area_is_no_lesion_and_no_alarm(side: int, n_pieces: int) -> None:
    """One piece on the lesion, one beside it, of one or of four pixels."""
    scores, truth = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE), bool)
    truth[20:24, 20:24] = True
    for at in (21, 30):
        scores[at : at + side, at : at + side] = 1
    row = evidence_of(answer_of(scores, truth))
    at_half = LESION_THRESHOLDS.tolist().index(0.5)
    for name in ("n_found", "n_false_positive"):
        assert np.asarray(row[name])[:, at_half].tolist() == [n_pieces, n_pieces]
    assert np.asarray(row["false_positive_px"])[:, at_half].tolist() == 2 * [n_pieces * side**2]
    assert row["n_lesions"] == [1, 1]


@pytest.mark.parametrize("place", [0, 1])
def test_distances_are_those_of_the_masks_that_are_called(place: int) -> None:
    outlines, patients = evidence().surfaces(place, AT[place])
    assert patients.tolist() == evidence().patients.tolist()
    for answer, found in zip(answers(), outlines, strict=True):
        pieces, n = label((answer.scores[place] >= AT[place]) & INSIDE, np.ones((3, 3)))
        called = np.zeros_like(INSIDE)
        for piece in (pieces == number for number in range(1, n + 1)):
            called |= piece & (piece.sum() >= MIN_AREA_PX)
        assert found == surface_metrics(answer.truth[place], called, (1.0, 1.0), TOLERANCE_PX)
    assert evidence().surfaces(place, 0.3)[0] == []  # compared at another threshold


def test_a_missed_or_invented_lesion_is_the_diagonal() -> None:
    lesion, nothing = np.zeros((SIDE, SIDE), bool), np.zeros((SIDE, SIDE), bool)
    lesion[20:24, 20:24] = True
    for scores, truth, distance, dice in (
        (nothing, lesion, np.hypot(SIDE, SIDE), 0),
        (lesion, nothing, np.hypot(SIDE, SIDE), 0),
        (nothing, nothing, 0, 1),
        (lesion, lesion, 0, 1),
    ):
        row = evidence_of(answer_of(scores.astype(float), truth), AT)
        assert row["hausdorff95_px"] == pytest.approx([distance, distance])
        assert row["surface_dice"] == [dice, dice]
