"""From the logits of the pair to findings, with what each branch says alone."""

import numpy as np
from numpy.typing import NDArray

from core.clinical.grades import by_label, class_probabilities, graded_findings
from core.imaging.display import to_grey
from core.manifest import Manifest, OperatingPoint
from core.records import Prediction, Regions, Study
from core.tasks.ct_osteoporosis.locate import pixel_spacing, roi_mean


def decode(
    output: NDArray[np.float32], study: Study, regions: Regions, manifest: Manifest, point: OperatingPoint
) -> Prediction:
    """One finding a region; `measures` has the mean HU of an ellipse at its centre.

    Args:
        output: Logits, (N, rows, 3): the answer, and for a pair those of the branches s and t behind it.
        study: The slice.
        regions: Examined regions.
        manifest: Names the grades.
        point: Operating point that decides what is positive.
    """
    probabilities = class_probabilities(output)
    names = ("s", "t") if output.shape[1] == 3 else ()
    return Prediction(
        graded_findings(probabilities[:, 0], regions, manifest, point),
        branches={
            name: tuple(by_label(row, manifest) for row in probabilities[:, place])
            for place, name in enumerate(names, start=1)
        },
        measures={"roi_hu": tuple(_roi_hu(study, region.box_xyxy) for region in regions)},
    )


def _roi_hu(study: Study, box: tuple[float, float, float, float]) -> float:
    x0, y0, x1, y1 = (edge - 0.5 for edge in box)  # edges of pixels, where roi_mean counts their centres
    return roi_mean(to_grey(study.frame), pixel_spacing(study), (x0 + x1) / 2, (y0 + y1) / 2)
