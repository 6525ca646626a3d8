"""From an image to a ScreeningResult, with what the person chose; results are kept for this session only."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import streamlit as st

from core import registry
from core.manifest import Manifest
from core.records import Gate, Laterality, PatientResult, Region, Regions, ScreeningResult
from pages.parts.source import Chosen

_KEPT_RESULTS = 8
Key = tuple[object, ...]


@dataclass(frozen=True)
class Choices:
    """What a person chose for one image; None = as the program proposes."""

    method: str
    point: str | None
    laterality: Laterality | None = None
    regions: Regions | None = None
    box: int | None = None


def read_choices(manifest: Manifest, file_sha256: str) -> Choices:
    """The choices of this session; widgets further down the page write them."""
    state, task = st.session_state, manifest.task
    return Choices(
        method=state.get(f"{task}.method", manifest.explanation.default_method),
        point=_known_point(manifest, state.get(f"{task}.point")),
        laterality=state.get(f"{task}.laterality.{file_sha256[:12]}"),
        regions=state.get(_regions_key(task, file_sha256)),
        box=state.get(box_key(manifest, file_sha256)),
    )


def box_key(manifest: Manifest, file_sha256: str) -> str:
    """Of the widget that chooses the explained box: its places mean something for one image and one model only."""
    return f"{manifest.task}.box.{file_sha256[:12]}.{manifest.weights.sha256[:8]}"


def _known_point(manifest: Manifest, chosen: str | None) -> str | None:
    """The chosen operating point; the default one where these weights have none of that name; none where each box has its own."""
    if registry.task(manifest.task).kind == "detector":
        return None
    known = [point.id for point in manifest.operating_points]
    return chosen if chosen in known else known[0]


def keep_region(task_id: str, result: ScreeningResult, index: int, region: Region) -> None:
    """Remember a redrawn region of this image."""
    regions = (*result.regions[:index], region, *result.regions[index + 1 :])
    st.session_state[_regions_key(task_id, result.study.file_sha256)] = regions


def forget_regions(task_id: str, file_sha256: str) -> None:
    """Back to the proposed regions."""
    st.session_state.pop(_regions_key(task_id, file_sha256), None)


def _regions_key(task_id: str, file_sha256: str) -> str:
    return f"{task_id}.regions.{file_sha256[:12]}"


def is_kept(manifest: Manifest, chosen: Chosen, choices: Choices) -> bool:
    """Whether the answer is at hand, so that nothing needs to be announced."""
    return _key(manifest, chosen, choices) in _results(manifest.task)


def screen_once(
    manifest: Manifest, chosen: Chosen, choices: Choices, screen: Callable[..., ScreeningResult], model: object
) -> ScreeningResult:
    """The result for these choices, with the confirmation given earlier for the same image and the same reasons.

    Raises:
        ScreeningError: See `core.screening.screen`.
    """
    kept = _results(manifest.task)
    _forget_other_files(kept, chosen)
    key = _key(manifest, chosen, choices)
    if key not in kept:
        result = screen(
            chosen.study,
            model,
            regions=choices.regions,
            laterality=choices.laterality,
            method=choices.method,
            point=choices.point,
            box=choices.box,
            read_ms=round(chosen.read_ms, 2),
        )
        kept[key] = result
        while len(kept) > _KEPT_RESULTS:
            del kept[next(iter(kept))]
    result = kept[key]
    if is_confirmed(manifest.task, result.study.file_sha256, result.gate):
        return replace(result, gate=replace(result.gate, confirmed=True))
    return result


def patient_once(
    manifest: Manifest,
    chosen: Chosen,
    choices: Choices,
    shown: ScreeningResult,
    screen_slices: Callable[..., PatientResult],
    model: object,
) -> PatientResult:
    """The result of all chosen slices, kept until other slices or settings are chosen.

    What a person confirmed for the slice shown large is confirmed for every slice with no other reasons.

    Raises:
        ScreeningError: See `core.screening.screen`.
    """
    key = (tuple(study.file_sha256 for study in chosen.slices), manifest.weights.sha256, choices.method, choices.point)
    kept = st.session_state.get(f"{manifest.task}.patient")
    if kept is None or kept[0] != key:
        kept = (key, screen_slices(chosen.slices, model, method=choices.method, point=choices.point))
        st.session_state[f"{manifest.task}.patient"] = kept
    patient: PatientResult = kept[1]
    if not shown.gate.confirmed:
        return patient
    known = _reasons(shown.gate)
    slices = tuple(
        replace(result, gate=replace(result.gate, confirmed=True)) if _reasons(result.gate) <= known else result
        for result in patient.slices
    )
    return replace(patient, slices=slices)


def forget_patient(task_id: str) -> None:
    """Slices of a patient leave memory when another image is chosen."""
    st.session_state.pop(f"{task_id}.patient", None)


def _forget_other_files(kept: dict[Key, ScreeningResult], chosen: Chosen) -> None:
    """Somebody's image leaves memory when the next one is chosen; phantoms are shared and may stay."""
    for key, result in list(kept.items()):
        if result.study.file_sha256 != chosen.study.file_sha256 and not result.study.is_phantom:
            del kept[key]


def confirm(task_id: str, result: ScreeningResult) -> None:
    """A person saw these reasons for this image and wants the score all the same."""
    confirm_gate(task_id, result.study.file_sha256, result.gate)


def confirm_gate(task_id: str, file_sha256: str, gate: Gate) -> None:
    """The same for an image of which only the hash is at hand; reasons confirmed earlier stay confirmed."""
    confirmed = st.session_state.setdefault(f"{task_id}.confirmed", {})
    confirmed[file_sha256] = confirmed.get(file_sha256, frozenset()) | _reasons(gate)


def is_confirmed(task_id: str, file_sha256: str, gate: Gate) -> bool:
    """Whether all reasons for doubt were confirmed for this image; a new one asks again."""
    confirmed = st.session_state.get(f"{task_id}.confirmed", {}).get(file_sha256)
    return gate.outcome == "needs_confirmation" and confirmed is not None and _reasons(gate) <= confirmed


def _reasons(gate: Gate) -> frozenset[str]:
    return frozenset(check.code for check in gate.reasons)


def _key(manifest: Manifest, chosen: Chosen, choices: Choices) -> Key:
    thresholds = tuple(point.threshold for point in manifest.operating_points)
    return (chosen.study.file_sha256, manifest.model, manifest.weights.sha256, thresholds, choices)


def _results(task_id: str) -> dict[Key, ScreeningResult]:
    results: dict[Key, ScreeningResult] = st.session_state.setdefault(f"{task_id}.results", {})
    return results


def installed_manifest(task_id: str) -> Manifest | None:
    """Manifest of the model that was chosen on the task's page, else of the first; None without weights.

    Read anew each run, so that new weights show at once.

    Raises:
        WeightsError: The manifest is there and wrong.
    """
    chosen = st.session_state.get(model_key(task_id))
    names = [folder.name for folder in registry.model_folders(task_id)]
    return registry.manifest_of(task_id, chosen if chosen in names else None)


def model_key(task_id: str) -> str:
    """Of the widget that chooses among the installed models of a task."""
    return f"{task_id}.model"
