"""Where weights come from: the part of a manifest that says what was learnt from what, under which terms."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from core.errors import WeightsError

DataKind = Literal["phantom", "real images, synthetic findings", "real images, real labels"]
SHA256 = Field(pattern=r"^[0-9a-f]{64}$")


class Closed(BaseModel):
    """A record of which every key is known."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Dataset(Closed):
    """A source of training or test data, with its terms; None = nobody said how many."""

    name: str
    role: Literal["training", "validation", "test"]
    n: int | None
    patients: int | None
    licence: str
    citation: str = ""


class ProvenanceRecord(Closed):
    """What made these weights; of brought ones, what those who brought them said.

    Attributes:
        seed, code_revision: None of brought weights, which this program did not train.
        training_cases_sha256, evaluation_sha256: None of brought weights: nobody here knows what they saw.
    """

    labels: dict[str, DataKind]
    datasets: tuple[Dataset, ...]
    command: str
    seed: int | None
    code_revision: str | None
    date: str
    training_cases_sha256: str | None = SHA256
    evaluation_sha256: str | None = SHA256
    out_of_fold_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")

    @property
    def held_out_sha256(self) -> str:
        """Of the held-out results.

        Raises:
            WeightsError: Brought weights have none.
        """
        if self.evaluation_sha256 is None:
            raise WeightsError("these weights came without held-out results")
        return self.evaluation_sha256

    @property
    def is_brought(self) -> bool:
        """Whether the weights were trained elsewhere, so that nothing said of their data could be checked."""
        return self.training_cases_sha256 is None
