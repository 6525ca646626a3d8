"""Every experiment by id. Loads no torch."""

from core.errors import UsageError
from core.experiments import chest, ct, hip, knee, retina
from core.experiments.declaration import Experiment

EXPERIMENTS: dict[str, Experiment] = {
    one.id: one for module in (hip, ct, chest, knee, retina) for one in module.EXPERIMENTS
}


def experiment(name: str) -> Experiment:
    """The declaration of one experiment.

    Raises:
        UsageError: There is none of this id.
    """
    if name not in EXPERIMENTS:
        raise UsageError(f"experiment {name!r}; known: {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]
