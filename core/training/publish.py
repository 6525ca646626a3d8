"""From a fitted fold to a weights folder: held-out evaluation, operating points, manifest, card."""

import json
from pathlib import Path
from typing import Any

from core.i18n import mark
from core.manifest import (
    AUXILIARY,
    Architecture,
    Auxiliary,
    Calibration,
    ExplanationSpec,
    Manifest,
    dump_manifest,
    read_auxiliary,
    read_shipped_manifest,
)
from core.training.answers import Answers
from core.training.card import model_card
from core.training.collect import PHANTOM
from core.training.detected import detected, headline
from core.training.fit import Fitted, Recipe
from core.training.graded import graded
from core.training.masks import areas, evidence, segmented
from core.training.pack import Pack
from core.training.weights_folder import (
    BOXES_LIMIT,
    changelog,
    history,
    provenance,
    serialise,
    training_cases,
    weights_file,
    write_folder,
)

ONE_INSTALLATION = mark(
    "Trained on the images of one installation: other devices, protocols and populations were never seen."
)
PHANTOMS_AMONG = mark("Simulated images were among the training data.")


def auxiliaries(folder: Path) -> dict[str, Auxiliary]:
    """The auxiliary networks of a task, by the names of their folders."""
    return {path.parent.name: read_auxiliary(path.parent).auxiliary for path in sorted(folder.glob(f"*/{AUXILIARY}"))}


def limitations(template: dict[str, Any], facts: dict[str, Any]) -> tuple[str, ...]:
    """Those of the recipe, those that come from what was trained on, then those of the task.

    Args:
        template: As of `publish`.
        facts: Of the pack.
    """
    if facts.get("is_local"):
        of_data = (ONE_INSTALLATION, *((PHANTOMS_AMONG,) if facts["kind"] == PHANTOM else ()))
    else:
        of_data = template["trained_on"].get(facts["kind"], ())
    return (*template.get("of_recipe", ()), *of_data, *template["limitations"])


def publish(
    task_network: Any,
    learn: Any,
    template: dict[str, Any],
    pack: Pack,
    fitted: dict[int, Fitted],
    recipe: Recipe,
    command: str,
    note: str,
    folder: Path,
) -> Manifest:
    """Evaluate the fold with the lowest validation loss on the held-out cases and write its weights folder, manifest last.

    Where every fold was fitted and real cases carry a measured reference, their out-of-fold answers are written too.

    Args:
        task_network: The task's network.py.
        learn: The task's learn.py.
        template: The task's part of the manifest (`data.MANIFEST`): input, transforms, labels, words; "trained_on" are the
            limitations that come from the data of each kind the task brings, "of_recipe" those of an unusual recipe.
        pack: Arrays with held-out cases (fold -1).
        fitted: Results of fit_fold by validation fold.
        recipe: How they were trained.
        command: Command line to print in card and manifest.
        note: What the changelog says.
        folder: weights/<task>/<model>.
    """
    fold = min(fitted, key=lambda fold: fitted[fold].kept_loss)
    answers = Answers(task_network, learn, pack, recipe)
    network = answers.network(fitted[fold])
    facts, validation = json.loads(str(pack.facts[0])), pack.folds == fold
    if pack.has_boxes:

        def figures(own: Any) -> Any:
            return headline(answers.boxes(own, template["labels"], validation & pack.is_boxed, ~validation))

        content, dtype = serialise(network, figures, BOXES_LIMIT)
        held_out = detected(template["labels"], pack, answers, network, fold, facts, recipe.seed)
    elif pack.label_maps.size:
        content, dtype = serialise(network, lambda own: areas(evidence(answers, learn, pack, own, validation)))
        held_out = segmented(template["labels"], pack, answers, learn, network, fitted, fold)
    else:
        content, dtype = serialise(network, lambda own: answers.scored(own, validation).probabilities)
        held_out = graded(template, pack, answers, network, fitted, fold, recipe.seed)
    files = {**held_out.files, "training_cases.csv": training_cases(pack)}
    earlier = read_shipped_manifest(folder).changelog if (folder / "manifest.json").is_file() else ()
    changes = changelog(earlier, note)
    manifest = Manifest(
        format="fivefold-manifest-1",
        task=facts["task"],
        model=folder.name,
        version=changes[-1].version,
        changelog=changes,
        architecture=Architecture(name=recipe.architecture, options=recipe.options),
        auxiliary=auxiliaries(folder.parent),
        weights=weights_file(content, dtype, network),
        operating_points=held_out.points,
        calibration=Calibration(method="none"),
        explanation=ExplanationSpec(
            layer=template["explanation_layer"][recipe.architecture],
            default_method=template.get("explanation_method", "grad_cam"),
        ),
        metrics=held_out.metrics,
        provenance=provenance(template["labels"], pack, fitted, fold, recipe, command, files),
        limitations=limitations(template, facts),
        **{key: template[key] for key in Manifest.model_fields.keys() & template.keys() - {"limitations"}},
    )
    files |= {
        "model.safetensors": content,
        "history.json": history(recipe, fold, fitted),
        "MODEL_CARD.md": model_card(manifest).encode(),
        "manifest.json": dump_manifest(manifest).encode(),
    }
    write_folder(folder, files)
    return manifest
