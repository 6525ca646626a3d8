"""explanations.json of a weights folder: how well each explanation method finds the known truth of phantoms."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import UsageError
from core.i18n import mark
from core.manifest import Estimate
from core.provenance import SHA256

FILE = "explanations.json"
CONTROLS = {
    "random": mark("Control: random map"),
    "centre": mark("Control: middle of the region"),
    "box": mark("Control: the box itself, filled evenly"),
}
"""Rows that no method made: they know nothing of the network, or of the picture beyond its box."""


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MethodRow(_Closed):
    """What one method, or one control, reached.

    Attributes:
        method: Key of engine.explain.METHODS or of CONTROLS.
        n: Maps with positive evidence, which energy and pointing are measured on.
        n_empty: Maps without: left out.
        area: Mean share of the area that holds the truth.
        energy: Mean share of the map's energy inside the truth; interval by bootstrap of phantoms.
        pointing: Share of maps whose maximum lies on the truth; Wilson's interval, widened where maps of one phantom are alike.
        n_blanked: Maps that were tested on changed pictures and networks.
        deletion, insertion: Mean gain over random order; interval by bootstrap of phantoms. None where none was tested.
        random_weights: Median rank correlation with the maps of a random last layer; None of controls, which have no weights.
    """

    method: str
    n: int = Field(ge=1)
    n_empty: int
    area: float
    energy: Estimate
    pointing: Estimate
    n_blanked: int
    deletion: Estimate | None
    insertion: Estimate | None
    random_weights: float | None

    @property
    def enrichment(self) -> float:
        """How many times more energy the truth holds than its share of the area; 1 = no better than an even map."""
        return self.energy.value / self.area


class Explanations(_Closed):
    """The file. It belongs to one sha256 of weights.

    Attributes:
        statement: What must be said with every number of it.
        n_phantoms: Phantoms on which the network was right to call something, so that there was something to explain.
        command: That made it.
    """

    format: Literal["fivefold-explanations-1"]
    task: str
    model: str
    weights_sha256: str = SHA256
    statement: str
    command: str
    seed: int
    date: str
    n_phantoms: int
    rows: tuple[MethodRow, ...]

    def row(self, method: str) -> MethodRow | None:
        """The row of one method, None where it was not measured."""
        return next((row for row in self.rows if row.method == method), None)


def read_explanations(folder: Path) -> Explanations | None:
    """The file of a weights folder, None where there is none.

    Raises:
        UsageError: It is there and of another form.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        return Explanations.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise UsageError(f"{FILE} of {folder.name} has another form") from error
