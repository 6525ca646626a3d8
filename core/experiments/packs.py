"""Prepared arrays of an experiment, made once and kept beside its runs."""

from collections import Counter
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from core import registry
from core.experiments.declaration import Experiment
from core.records import LabelledCase
from core.training.collect import collect, folder_facts, phantom_facts
from core.training.pack import Pack

DATA_SEED = 1
TEST_SHARE = 5  # of real patients, one in so many is unseen


def load_pack(
    experiment: Experiment, folder: Path, *, is_fast: bool, data: Path | None = None, cases: str = ""
) -> Pack:
    """The cases of an experiment: phantoms, or real images with labels.

    Args:
        experiment: Says how many.
        folder: Where prepared arrays are kept.
        is_fast: At which size.
        data: Folder of real images, as `python -m core evaluate` takes it; one patient in TEST_SHARE is held out.
        cases: What makes the phantoms, "" = as the experiment says.
    """
    experiment = replace(experiment, cases=cases or experiment.cases)
    size = experiment.sized(is_fast=is_fast)
    parts = (experiment.cases, size.n_training, size.n_test) if data is None else (name_of(data),)
    path = folder / f"{experiment.task}-{'-'.join(map(str, parts))}.npz"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        _collected(experiment, size.n_training, size.n_test, data).save(path)
    pack = Pack.load(path)
    return shrunk(pack, size.side) if size.side and (pack.label_maps.size or pack.has_boxes) else pack


def name_of(data: Path) -> str:
    """Name of a folder of real images in file names: not its place, which may tell a hospital."""
    return f"real-{sha256(str(data.resolve()).encode()).hexdigest()[:8]}"


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
        side: Of the label maps, or of the images where there are none.
    """
    n_before = (pack.label_maps if pack.label_maps.size else pack.images).shape[1]
    boxes = pack.boxes.copy()
    boxes[:, :4] *= side / n_before
    at = ((np.arange(side) + 0.5) * n_before / side).astype(np.int64)  # the nearest pixels
    maps = pack.label_maps[:, at[:, None], at] if pack.label_maps.size else pack.label_maps
    images = _resampled(pack.images, pack.images.shape[1] * side // n_before)
    return replace(pack, images=images, label_maps=maps, boxes=boxes)


def _resampled(images: NDArray[np.uint8] | NDArray[np.int16], side: int) -> NDArray[np.uint8] | NDArray[np.int16]:
    """Means of the pixels that become one, rounded; image by image, for all at once would fill the memory."""
    shape = (len(images), side, side, *images.shape[3:])
    small = np.empty(shape, images.dtype)
    for own, image in zip(small, images, strict=True):
        planes = torch.from_numpy(image.reshape(*image.shape[:2], -1)).permute(2, 0, 1).float()
        means = functional.adaptive_avg_pool2d(planes, side).permute(1, 2, 0).numpy()
        own[:] = np.rint(means).astype(images.dtype).reshape(own.shape)
    return small
