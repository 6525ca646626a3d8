"""A panel of photographs (beside Table 4.2.1 of the reference): the image, its reference, and what each network scores."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.experiments.maps import Explained, small
from core.tasks.retina_lesions import learn as retina
from core.tasks.retina_lesions.network import scores
from core.tasks.retina_lesions.task import TASK
from core.training.collect import HELD_OUT
from core.training.fit import predict
from core.training.pack import Pack

_GREEN = 1  # of the stored channels: lesions stand out in green
_SHOWN = (1.0, 99.0)  # percentiles of the field of view that become black and white


def _most_marked(label_maps: NDArray[np.uint8]) -> list[int]:
    """Of each kind of lesion the photograph with most of it."""
    marked = np.array([retina.truth(own)[0].sum(axis=(1, 2)) for own in label_maps])
    return [int(marked[:, label].argmax()) for label in range(len(TASK.labels))]


def maps_of(network: torch.nn.Module, learn: Any, pack: Pack, mask: NDArray[np.bool_]) -> Explained:
    """The scores of each kind of lesion on the unseen phantom with most of it; [0, 1], not stretched.

    Args:
        network: Of the retina task, in evaluation mode.
        learn: See `inputs.learner`.
        pack: Phantoms of the retina task.
        mask: The unseen ones.
    """
    chosen = _most_marked(pack.label_maps[mask])
    images = torch.from_numpy(pack.images[mask][chosen])
    found = [scores(predict(network, learn, image[None]))[0, label].numpy() for label, image in enumerate(images)]
    return Explained({}, {"one": [small(own).tolist() for own in found]})


def pictures(pack: Pack) -> dict[str, NDArray[np.uint8]]:
    """Those photographs: `images`, their green channel, and `bodies`, 255 in the lesions; uint8 (2, SIDE, SIDE) both."""
    unseen = pack.folds == HELD_OUT
    label_maps = pack.label_maps[unseen]
    shown, marked = [], []
    for label, place in enumerate(_most_marked(label_maps)):
        green = pack.images[unseen][place][:, :, _GREEN].astype(np.float32)
        truth, inside = retina.truth(label_maps[place])
        step = len(green) // len(inside)  # stored images are finer than their label maps
        low, high = np.percentile(green[np.kron(inside, np.ones((step, step), bool))], _SHOWN)
        shown.append(small((green - low) / max(1.0, high - low)))
        marked.append(small(truth[label].astype(np.float32)))
    return {"images": np.array(shown), "bodies": np.array(marked)}
