"""Which images took part in training, and who may answer them: a number only counts when the model never saw the patient."""

import csv
from functools import cached_property

from core.engine.loader import Model
from core.errors import UsageError
from core.manifest import file_sha256

BY_MODEL, BY_FOLD = "installed model", "fold model that never saw the patient"
OUT_OF_FOLD = "out-of-fold results committed with the weights"


class Known:
    """What the weights folder says about cases that took part in training."""

    def __init__(self, model: Model) -> None:
        self._folder, self._manifest = model.folder, model.manifest

    @cached_property
    def training(self) -> list[dict[str, str]]:
        """Rows of training_cases.csv; none of brought weights, whose results are therefore not called held-out."""
        digest = self._manifest.provenance.training_cases_sha256
        return self._rows("training_cases.csv", digest) if digest else []

    @cached_property
    def pixels(self) -> set[str]:
        """Salted hashes of the images that were trained on."""
        return {row["pixel_hash"] for row in self.training}

    @cached_property
    def folds(self) -> dict[str, int]:
        """The fold in which each training patient was not trained on."""
        return {row["patient"]: int(row["fold"]) for row in self.training}

    @cached_property
    def out_of_fold(self) -> dict[str, tuple[float, ...]]:
        """Committed answers by the hash of the image, one probability a label."""
        digest = self._manifest.provenance.out_of_fold_sha256
        rows = self._rows("out_of_fold.csv", digest) if digest else []
        names = [f"p_{label}" for label in self._manifest.labels]
        return {row["pixel_hash"]: tuple(float(row[name]) for name in names) for row in rows}

    def _rows(self, name: str, sha256: str) -> list[dict[str, str]]:
        path = self._folder / name
        if not path.is_file() or file_sha256(path) != sha256:
            raise UsageError(f"{path.name} of the weights is missing or was changed, so nothing can be called held-out")
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
