"""A valid manifest of every task, made up but for what the task itself declares: labels, ages, operating points."""

from functools import cache

from factory import make_manifest, manifest_facts

from core import registry
from core.manifest import Manifest
from core.provenance import DataKind


@cache
def manifest_of(task_id: str, kind: DataKind = "phantom") -> Manifest:
    """As `core.training.publish` would write it, with the figures of `factory.manifest_facts`.

    Args:
        task_id: Whose data.MANIFEST to take over; a segmenter, which declares no cuts, has an operating point a label.
        kind: What the weights were trained on.
    """
    declared = registry.part(task_id, "data").MANIFEST
    facts = manifest_facts()
    point = facts["operating_points"][0]
    cuts = declared.get("cuts") or [(label, label, "") for label in declared["labels"]]
    return make_manifest(
        task=task_id,
        input=declared["input"],
        transforms=declared["transforms"],
        labels=declared["labels"],
        operating_points=[{**point, "id": name, "label": label} for name, label, _ in cuts],
        provenance={**facts["provenance"], "labels": dict.fromkeys(declared["labels"], kind)},
        eligible_age_years=declared["eligible_age_years"],
    )
