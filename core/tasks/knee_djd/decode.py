"""From the logits of both knees to findings."""

import numpy as np
from numpy.typing import NDArray

from core.clinical.grades import class_probabilities, graded_findings
from core.manifest import Manifest, OperatingPoint
from core.records import Prediction, Regions, Study
from core.tasks.knee_djd.locate import uptake_ratio


def decode(
    output: NDArray[np.float32], study: Study, regions: Regions, manifest: Manifest, point: OperatingPoint
) -> Prediction:
    """One finding a knee; `measures` has the uptake of the knee relative to the shafts beside it.

    Args:
        output: Logits, (N, 5), in the order of `regions`.
        study: The scan.
        regions: Examined regions.
        manifest: Names the grades.
        point: Operating point that decides what is positive.
    """
    return Prediction(
        graded_findings(class_probabilities(output), regions, manifest, point),
        measures={"uptake_ratio": tuple(uptake_ratio(study, region) for region in regions)},
    )
