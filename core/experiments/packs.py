"""Prepared arrays of an experiment, made once and kept beside its runs."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core import registry
from core.experiments.declaration import Experiment
from core.records import LabelledCase
from core.training.collect import collect, folder_facts, phantom_facts
from core.training.pack import Pack

DATA_SEED = 1
TEST_SHARE = 5  # of real patients, one in so many is unseen


def load_pack(experiment: Experiment, folder: Path, *, is_fast: bool, data: Path | None = None) -> Pack:
    """The cases of an experiment: phantoms, or real images with labels.

    Args:
        experiment: Says how many.
        folder: Where prepared arrays are kept.
        is_fast: At which size.
        data: Folder of real images, as `python -m core evaluate` takes it; one patient in TEST_SHARE is held out.
    """
    size = experiment.sized(is_fast=is_fast)
    parts = (experiment.cases, size.n_training, size.n_test) if data is None else ("data",)
    path = folder / f"{experiment.task}-{'-'.join(map(str, parts))}.npz"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        _collected(experiment, size.n_training, size.n_test, data).save(path)
    pack = Pack.load(path)
    return shrunk(pack, size.side) if size.side and (pack.label_maps.size or pack.has_boxes) else pack


def _collected(experiment: Experiment, n_training: int, n_test: int, data: Path | None) -> Pack:
    module = registry.part(experiment.task, "data")
    if data is None:
        make = getattr(module, experiment.cases)
        training, test = make(DATA_SEED, "training", n_training), make(DATA_SEED, "test", n_test)
        facts = phantom_facts(experiment.task, DATA_SEED, n_training, n_test)
        return collect(experiment.task, training, test, facts, DATA_SEED)
    cases: list[LabelledCase] = list(module.evaluation_cases(data, None, Counter()))
    patients = sorted({case.patient for case in cases})
    unseen = set(patients[::TEST_SHARE])
    training, test = ([case for case in cases if (case.patient in unseen) == is_test] for is_test in (False, True))
    return collect(experiment.task, training, test, folder_facts("not stated"), DATA_SEED)


def shrunk(pack: Pack, side: int) -> Pack:
    """A segmenter's or a detector's images, with what is marked on them, on fewer pixels.

    Args:
        pack: Square images.
        side: Of the label maps, or of the images where there are none; divides theirs.
    """
    n_before = (pack.label_maps if pack.label_maps.size else pack.images).shape[1]
    factor = n_before // side
    boxes = pack.boxes.copy()
    boxes[:, :4] /= factor
    middle = factor // 2
    maps = pack.label_maps[:, middle::factor, middle::factor] if pack.label_maps.size else pack.label_maps
    return replace(pack, images=_pooled(pack.images, factor), label_maps=np.ascontiguousarray(maps), boxes=boxes)


def _pooled(images: NDArray[np.uint8] | NDArray[np.int16], factor: int) -> NDArray[np.uint8] | NDArray[np.int16]:
    """Means of factor x factor pixels, rounded, image by image: all at once would fill the memory."""
    n, side = images.shape[0], images.shape[1] // factor
    pooled = np.empty((n, side, side, *images.shape[3:]), images.dtype)
    for own, image in zip(pooled, images, strict=True):
        blocks = image[: side * factor, : side * factor].reshape(side, factor, side, factor, *image.shape[2:])
        own[:] = np.rint(blocks.mean(axis=(1, 3), dtype=np.float32)).astype(images.dtype)
    return pooled
