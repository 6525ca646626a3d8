"""From one logit a hip to findings."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from core.manifest import Manifest, OperatingPoint
from core.records import Finding, Prediction, Regions, Study


def probabilities(output: NDArray[np.float32]) -> NDArray[np.float64]:
    """Sigmoid of the logit. output: (N, 1) -> (N,)."""
    return np.asarray(expit(output[:, 0].astype(np.float64)))


def decode(
    output: NDArray[np.float32], study: Study, regions: Regions, manifest: Manifest, point: OperatingPoint
) -> Prediction:
    """One finding a hip.

    Args:
        output: Logits, (N, 1), in the order of `regions`.
        study: The film; unused here, other tasks need its geometry.
        regions: Examined regions.
        manifest: Names the label.
        point: Operating point that decides what is positive.
    """
    return Prediction(
        tuple(
            Finding(
                label=manifest.labels[0],
                probability=float(probability),
                positive=point.calls(float(probability)),
                laterality=region.laterality,
                box_xyxy=region.box_xyxy,
            )
            for region, probability in zip(regions, probabilities(output), strict=True)
        )
    )
