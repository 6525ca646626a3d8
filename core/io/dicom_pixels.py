"""Stored values to a Frame: bits, padding, modality LUT, VOI, polarity, colour (PS3.3 C.7.6.3, C.11.1, C.11.2).

MONOCHROME1 says how to display, not what a value means: values in HU or counts are never inverted, grey without unit is.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from core.errors import FileError
from core.io import header, vocabulary
from core.io.codecs import Decoded
from core.io.lut import Table, read_table
from core.records import Frame

Floats = NDArray[np.float64]
Range = tuple[float, float]


def make_frame(dataset: Dataset, decoded: Decoded) -> tuple[Frame, list[str]]:
    """The frame that the header makes of the decoded values, and notes.

    Raises:
        FileError: E_TAG when an element that changes pixel values makes no sense; E_NONFINITE for values that are no numbers.
    """
    spacing_mm, notes = _spacing(dataset)
    if decoded.is_colour:
        return Frame(_to_eight_bits(decoded.stored, dataset.BitsStored), "rgb", spacing_mm), notes
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        return Frame(_palette_to_rgb(dataset, decoded.stored), "rgb", spacing_mm), notes
    grey, more_notes = _grey_frame(dataset, decoded.stored, spacing_mm)
    return grey, notes + more_notes


# --- colour ----------------------------------------------------------------------------------------------------------


def _to_eight_bits(stored: NDArray[np.generic], bits: int) -> NDArray[np.uint8]:
    """Scale `bits` wide samples to 0..255."""
    unsigned: NDArray[np.unsignedinteger] = stored.view(f"u{stored.dtype.itemsize}")
    top = 2**bits - 1
    if bits == 8 and unsigned.dtype == np.uint8:
        return unsigned.astype(np.uint8, copy=False)
    scaled = (unsigned & unsigned.dtype.type(top)).astype(np.float32)
    scaled *= 255 / top
    return np.rint(scaled).astype(np.uint8)


def _palette_to_rgb(dataset: Dataset, stored: NDArray[np.generic]) -> NDArray[np.uint8]:
    index, _ = _drop_unused_bits(stored, dataset.BitsStored)
    try:
        rgb = apply_color_lut(index, dataset)
    except MemoryError:
        raise
    except Exception as error:
        raise FileError("E_TAG", "the palette makes no sense") from error
    return _to_eight_bits(rgb, 8 * rgb.dtype.itemsize)


# --- grey ------------------------------------------------------------------------------------------------------------


def _grey_frame(
    dataset: Dataset, stored: NDArray[np.generic], spacing_mm: tuple[float, float] | None
) -> tuple[Frame, list[str]]:
    notes: list[str] = []
    values, reach = _drop_unused_bits(stored, dataset.get("BitsStored"))
    padding = _padding(dataset, stored, values, reach)
    pixels, reach = _to_modality(dataset, values, reach)
    unit = _unit(dataset, notes)
    window = _window(dataset, notes)
    if unit == "relative":
        table = _voi_table(dataset, notes) if window is None else None
        if table is not None:
            pixels, reach = table(pixels), (0.0, table.top)
            window = (table.top + 1) / 2, table.top + 1
        if dataset.PhotometricInterpretation == "MONOCHROME1":
            mirror = reach[0] + reach[1]
            np.subtract(mirror, pixels, out=pixels)
            # LINEAR is centred on `center - 0.5`, so its mirror image lies one value off (PS3.3 C.11.2.1.2).
            window = (mirror - window[0] + 1, window[1]) if window else None
            notes.append(vocabulary.INVERTED)
    if padding is not None:
        notes.append(vocabulary.PADDING)
        if not padding.all():
            pixels[padding] = pixels[~padding].min()
    return Frame(_to_float32(pixels), unit, spacing_mm, window, padding), notes


def _drop_unused_bits(stored: NDArray[np.generic], bits: int | None) -> tuple[NDArray[np.generic], Range]:
    """Clear (or sign-extend over) the bits above `bits`, and the range that `bits` can hold; floats have their own range."""
    if stored.dtype.kind == "f":
        return stored, (float(np.min(stored)), float(np.max(stored)))
    assert bits is not None
    spare = 8 * stored.dtype.itemsize - bits
    values = np.right_shift(np.left_shift(stored, spare), spare) if spare else stored
    if stored.dtype.kind == "i":
        return values, (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1)
    return values, (0.0, 2.0**bits - 1)


def _padding(
    dataset: Dataset, stored: NDArray[np.generic], values: NDArray[np.generic], reach: Range
) -> NDArray[np.bool_] | None:
    """Where the scanner padded, None when nowhere."""
    low = header.numbers(dataset, "PixelPaddingValue")
    if not low or stored.dtype.kind == "f":
        return None
    high = header.numbers(dataset, "PixelPaddingRangeLimit") or low
    ends = sorted(_as_stored(end[0], stored.dtype) for end in (low, high))
    # Some scanners pad with a value that BitsStored cannot hold: it is found only before the unused bits are dropped.
    is_held = reach[0] <= ends[0] and ends[1] <= reach[1]
    searched = values if is_held else stored
    mask: NDArray[np.bool_] = (searched >= ends[0]) & (searched <= ends[1])  # type: ignore[operator]
    return mask if mask.any() else None


def _as_stored(value: float, dtype: np.dtype[np.generic]) -> int:
    """`value` as the same bits read in `dtype`: writers often give the padding value with the other signedness."""
    bits = 8 * dtype.itemsize
    unsigned: int = int(value) % 2**bits
    return unsigned - 2**bits if dtype.kind == "i" and unsigned >= 2 ** (bits - 1) else unsigned


def _to_modality(dataset: Dataset, values: NDArray[np.generic], reach: Range) -> tuple[Floats, Range]:
    """Apply the modality LUT or the rescale.

    Returns:
        New float64 (H, W) and the range that the values may have.
    """
    sequence = header.values(dataset, "ModalityLUTSequence")
    if sequence:
        try:
            table = _table(dataset, sequence[0])
        except Exception as error:
            raise FileError("E_TAG", "ModalityLUTSequence") from error
        return table(values.astype(np.float64)), (0.0, table.top)
    slope = _rescale(dataset, "RescaleSlope", 1.0)
    intercept = _rescale(dataset, "RescaleIntercept", 0.0)
    if slope == 0:
        raise FileError("E_TAG", "RescaleSlope is 0")
    pixels = values.astype(np.float64)
    pixels *= slope
    pixels += intercept
    return pixels, (reach[0] * slope + intercept, reach[1] * slope + intercept)


def _rescale(dataset: Dataset, keyword: str, default: float) -> float:
    if keyword not in dataset:
        return default
    found = header.numbers(dataset, keyword)
    if not found or len(found) > 1:
        raise FileError("E_TAG", f"{keyword} is no finite number")
    return found[0]


def _table(dataset: Dataset, item: object) -> Table:
    if not isinstance(item, Dataset):
        raise ValueError("not an item")
    return read_table(item, dataset.get("PixelRepresentation") == 1, bool(dataset.original_encoding[1]))


def _unit(dataset: Dataset, notes: list[str]) -> Literal["HU", "counts", "relative"]:
    modality = header.values(dataset, "Modality")
    if modality == ["CT"]:
        if header.values(dataset, "RescaleType") not in ([], ["HU"]):
            return "relative"
        if not {"RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"}.intersection(dataset.dir()):
            notes.append(vocabulary.NO_RESCALE)
        return "HU"
    return "counts" if modality in (["NM"], ["PT"]) else "relative"


def _window(dataset: Dataset, notes: list[str]) -> tuple[float, float] | None:
    """The first window, as center and width of the LINEAR function, which Frame.window means."""
    centers, widths = (header.numbers(dataset, keyword) for keyword in ("WindowCenter", "WindowWidth"))
    if centers == [] and widths == []:
        return None
    if not centers or not widths or widths[0] < 1:
        notes.append(vocabulary.WINDOW_IGNORED)
        return None
    if header.values(dataset, "VOILUTFunction") == ["LINEAR_EXACT"]:
        return centers[0] + 0.5, widths[0] + 1
    return centers[0], widths[0]


def _voi_table(dataset: Dataset, notes: list[str]) -> Table | None:
    sequence = header.values(dataset, "VOILUTSequence")
    if not sequence:
        return None
    try:
        table = _table(dataset, sequence[0])
    except Exception:
        notes.append(vocabulary.VOI_LUT_IGNORED)
        return None
    notes.append(vocabulary.VOI_LUT_APPLIED)
    return table


def _to_float32(pixels: Floats) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        single = pixels.astype(np.float32)
    if not np.isfinite(single.min()) or not np.isfinite(single.max()):
        raise FileError("E_NONFINITE", "pixel values")
    return single


def _spacing(dataset: Dataset) -> tuple[tuple[float, float] | None, list[str]]:
    """Row and column spacing in mm, and notes."""
    notes: list[str] = []
    for keyword, note in (("PixelSpacing", None), ("ImagerPixelSpacing", vocabulary.DETECTOR_SPACING)):
        found = header.numbers(dataset, keyword)
        if found is not None and len(found) == 2 and min(found) > 0:
            return (found[0], found[1]), notes + ([note] if note else [])
        if found != []:
            notes.append(vocabulary.SPACING_IGNORED)
    return None, notes
