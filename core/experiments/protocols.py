"""Who is trained on and who is measured on: the ways of the reference systems, which leak, beside the careful one."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from core.errors import UsageError
from core.i18n import mark
from core.training.collect import FOLDS, HELD_OUT, patient_folds
from core.training.pack import Pack

Rows = NDArray[np.int64]
Split = tuple[Rows, Rows]  # training and validation
VALIDATION, TRAINING = 0, 1  # folds of an arranged pack
SHARE_INSIDE = 0.1  # of the knees: 40 of 402 were tested on in the reference system


@dataclass(frozen=True)
class Protocol:
    """A way to split.

    Attributes:
        title: Message id.
        is_careful: Whether nobody is on both sides.
        split: Rows of the pack (training, validation) by seed and fold.
        copies: Whether every training image is first stored twice, the second time turned, in place of augmentation on the fly.
    """

    title: str
    is_careful: bool
    split: Callable[[Pack, int, int], Split]
    copies: bool = False


def pool(pack: Pack) -> Rows:
    """Rows of the cases that may be trained on."""
    return np.flatnonzero(pack.folds != HELD_OUT)


def _parted(rows: Rows, held: NDArray[np.bool_]) -> Split:
    return rows[~held], rows[held]


def _by_patient(pack: Pack, seed: int, fold: int) -> Split:
    rows = pool(pack)
    return _parted(rows, patient_folds(pack.targets[rows], pack.patients[rows], seed) == fold)


def _at_random(pack: Pack, seed: int, fold: int) -> Split:
    rows = pool(pack)
    targets = pack.targets[rows]
    halves = list(StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(targets, targets))
    return _parted(rows, np.isin(np.arange(len(rows)), halves[fold][1]))


def _inside(pack: Pack, seed: int, fold: int) -> Split:
    rows = pool(pack)
    chosen = np.random.default_rng([seed, fold]).choice(rows, max(1, round(SHARE_INSIDE * len(rows))), replace=False)
    return rows, np.sort(chosen)


def _share_at_random(share: float) -> Callable[[Pack, int, int], Split]:
    def split(pack: Pack, seed: int, fold: int) -> Split:
        rows = pool(pack)
        order = np.random.default_rng([seed, fold]).permutation(len(rows))
        return _parted(rows, order < round(share * len(rows)))

    return split


def _by_time_point(pack: Pack, seed: int, fold: int) -> Split:
    rows = pool(pack)
    return _parted(rows, np.array([case.endswith(f"-t{fold}") for case in pack.cases[rows]]))


PROTOCOLS: dict[str, Protocol] = {
    "by_patient": Protocol(mark("Split by patient, measured on others"), True, _by_patient),
    "random": Protocol(mark("Images split at random, patients on both sides"), False, _at_random),
    "copies": Protocol(
        mark("Stored copies and both hips of a patient split at random"), False, _at_random, copies=True
    ),
    "inside": Protocol(mark("Test cases are among the training cases"), False, _inside),
    "time_point": Protocol(mark("Split by time point, the same eyes on both sides"), False, _by_time_point),
    "random_90_10": Protocol(mark("90 % of the images drawn at random for training"), False, _share_at_random(0.1)),
    "random_55_45": Protocol(mark("55 % of the images drawn at random for training"), False, _share_at_random(0.45)),
}


def taken(pack: Pack, rows: Rows, folds: Rows) -> Pack:
    """Some rows of a pack, repeated ones too, in other folds."""
    boxes = [pack.boxes[pack.box_offsets[row] : pack.box_offsets[row + 1]] for row in rows] if pack.has_boxes else []
    return replace(
        pack,
        images=pack.images[rows],
        targets=pack.targets[rows],
        cases=pack.cases[rows],
        patients=pack.patients[rows],
        folds=folds,
        markers=pack.markers[rows],
        references=pack.references[rows],
        pixel_hashes=pack.pixel_hashes[rows],
        label_maps=pack.label_maps[rows] if pack.label_maps.size else pack.label_maps,
        boxes=np.concatenate(boxes) if boxes else pack.boxes,
        box_offsets=np.cumsum([0, *map(len, boxes)], dtype=np.int64) if boxes else pack.box_offsets,
        presence=pack.presence[rows] if pack.presence.size else pack.presence,
    )


def arranged(pack: Pack, protocol: Protocol, seed: int, fold: int) -> Pack:
    """The pack with the validation cases of a protocol in fold VALIDATION, its training cases in TRAINING, the others held out.

    Args:
        pack: As collected; its held-out patients stay held out.
        protocol: How to split.
        seed: Of the split, and of the stored copies.
        fold: Which of its splits.

    Raises:
        UsageError: The protocol leaves nobody to train on, or to measure.
    """
    if protocol.copies:
        from core.experiments.copies import with_copies

        pack = with_copies(pack, np.random.default_rng([seed, 1]))
    training, validation = protocol.split(pack, seed, fold)
    if not len(training) or not len(validation):
        raise UsageError(f"{len(training)} cases to train on and {len(validation)} to measure: {protocol.title}")
    held_out = np.flatnonzero(pack.folds == HELD_OUT)
    rows = np.concatenate([training, validation, held_out])
    lengths = (len(training), len(validation), len(held_out))
    return taken(pack, rows, np.repeat(np.array([TRAINING, VALIDATION, HELD_OUT], np.int64), lengths))
