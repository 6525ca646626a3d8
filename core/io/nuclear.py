"""Which frame of a nuclear medicine image shows which side of the body: anterior "A" or posterior "P"."""

import re

from pydicom.dataset import Dataset

from core.io import header

VIEWS = {"A": ("399321004", "Anterior projection"), "P": ("399001007", "Posterior projection")}
"""SNOMED CT code and meaning by view, from CID 26 (PS3.16)."""
_VIEW_OF_CODE = {
    **{code: view for view, (code, _) in VIEWS.items()},
    # The same two in SNOMED-RT, then the words "anterior" and "posterior" alone, in both.
    **{"G-5215": "A", "G-5216": "P"},
    **{"255549009": "A", "R-404CC": "A", "G-A105": "A", "255551008": "P", "R-404CE": "P", "G-A106": "P"},
}
_MEANING = re.compile(r"(anterior|posterior)( projection)?", re.IGNORECASE)


def frame_views(dataset: Dataset, n_frames: int) -> list[str | None]:
    """View of each frame by its detector (PS3.3 C.8.4.8.1.3 and C.8.4.11), [] where the header does not say which detector."""
    if header.values(dataset, "Modality") != ["NM"]:
        return []
    vector = header.numbers(dataset, "DetectorVector")
    if vector == [] and n_frames == 1:
        vector = [1]
    if not vector or len(vector) != n_frames:
        return []
    views = [_view(detector) for detector in header.values(dataset, "DetectorInformationSequence")]
    return [views[int(number) - 1] if 1 <= number <= len(views) else None for number in vector]


def file_position(views: list[str | None], index: int) -> int:
    """Where frame `index` lies in the file: the first anterior frame comes first, then the first posterior one, then the others.

    Without a known anterior view the order is that of the file.
    """
    if "A" not in views:
        return index
    leading = [views.index(view) for view in "AP" if view in views]
    if index < len(leading):
        return leading[index]
    position = index - len(leading)
    for taken in sorted(leading):
        position += taken <= position
    return position


def _view(detector: object) -> str | None:
    codes = header.values(detector, "ViewCodeSequence") if isinstance(detector, Dataset) else []
    if not codes or not isinstance(codes[0], Dataset):
        return None
    value, meaning = (
        "".join(map(str, header.values(codes[0], keyword))).strip() for keyword in ("CodeValue", "CodeMeaning")
    )
    if value in _VIEW_OF_CODE:
        return _VIEW_OF_CODE[value]
    return meaning[0].upper() if _MEANING.fullmatch(meaning) else None
