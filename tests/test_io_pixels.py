"""Stored values to frames: each rule has a twin that must come out the same, or values worked out by hand."""

import numpy as np
import pydicom.uid as uids
import pytest
from io_files import describe, dicom, displayed, finish, ramp, read, refusal, rgb_picture
from numpy.testing import assert_allclose, assert_array_equal
from pydicom.dataset import Dataset
from pydicom.pixels.processing import convert_color_space
from pydicom.sequence import Sequence

from core.io import vocabulary

CT = {"Modality": "CT", "RescaleSlope": 1, "RescaleIntercept": -1024}


def table(descriptor: list[int], entries: np.ndarray) -> Sequence:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", descriptor)
    item.add_new("LUTData", "OW", entries.astype("<u2").tobytes())
    return Sequence([item])


# --- bits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", range(8, 17))
def test_every_depth_keeps_its_values(bits: int, signed: bool) -> None:
    stored = ramp(bits, signed)
    frame = read(dicom(stored, BitsStored=bits)).frame
    assert frame.pixels.dtype == np.float32
    assert_array_equal(frame.pixels, stored)


@pytest.mark.parametrize("signed", [False, True])
def test_garbage_in_unused_bits_changes_nothing(signed: bool) -> None:
    stored = ramp(12, signed)
    garbage = (np.arange(stored.size).reshape(stored.shape) % 16 << 12).astype(np.uint16)
    dirty = ((stored.view(np.uint16) & 0x0FFF) | garbage).view(stored.dtype)
    assert_array_equal(read(dicom(dirty, BitsStored=12)).frame.pixels, stored)


@pytest.mark.parametrize("bits", [1, 32])
def test_depths_of_segmentations_and_dose(bits: int) -> None:
    if bits == 32:
        stored = np.arange(256, dtype=np.uint32).reshape(16, 16) * 65537
        assert_array_equal(read(dicom(stored)).frame.pixels, stored.astype(np.float32))
        return
    mask = (np.indices((16, 16)).sum(0) % 3 == 0).astype(np.uint8)
    dataset = describe(mask, BitsAllocated=1, BitsStored=1, Modality="SEG")
    dataset.PixelData = np.packbits(mask.ravel(), bitorder="little").tobytes()
    assert_array_equal(read(finish(dataset)).frame.pixels, mask)


def test_float_pixels() -> None:
    values = np.linspace(-1, 1, 48 * 64, dtype=np.float32).reshape(48, 64)
    dataset = describe(values, Modality="MR", BitsStored=None, PixelRepresentation=None)
    del dataset.PixelData
    dataset.FloatPixelData = values.tobytes()
    assert_array_equal(read(finish(dataset)).frame.pixels, values)
    dataset.FloatPixelData = np.full_like(values, np.nan).tobytes()
    assert refusal(finish(dataset)) == "E_NONFINITE"


# --- modality --------------------------------------------------------------------------------------------------------


def test_rescale_gives_hu() -> None:
    stored = ramp(12)
    study = read(dicom(stored, BitsStored=12, **CT))
    assert study.frame.unit == "HU"
    assert_array_equal(study.frame.pixels, stored.astype(np.float32) - 1024)
    assert vocabulary.NO_RESCALE not in study.notes


def test_signed_and_unsigned_ct_are_twins() -> None:
    stored = ramp(12)
    shifted = (stored.astype(np.int32) - 1024).astype(np.int16)
    unsigned = read(dicom(stored, BitsStored=12, **CT)).frame
    signed = read(dicom(shifted, **(CT | {"RescaleIntercept": 0}))).frame
    assert_array_equal(unsigned.pixels, signed.pixels)


def test_ct_without_rescale_says_so() -> None:
    study = read(dicom(ramp(12), Modality="CT"))
    assert study.frame.unit == "HU"
    assert vocabulary.NO_RESCALE in study.notes


def test_ct_in_other_units_is_not_hu() -> None:
    assert read(dicom(ramp(12), RescaleType="US", **CT)).frame.unit == "relative"


@pytest.mark.parametrize("modality", ["NM", "PT"])
def test_counts(modality: str) -> None:
    assert read(dicom(ramp(12), Modality=modality)).frame.unit == "counts"


def test_modality_table_is_applied_instead_of_rescale() -> None:
    stored = ramp(8).astype(np.uint16)
    entries = np.arange(200)[::-1] * 20
    data = dicom(stored, ModalityLUTSequence=table([200, 10, 12], entries), RescaleSlope=5, RescaleIntercept=5)
    expected = entries[np.clip(stored.astype(int) - 10, 0, 199)]
    assert_array_equal(read(data).frame.pixels, expected)


def test_modality_table_that_is_cut_is_refused() -> None:
    assert refusal(dicom(ramp(12), ModalityLUTSequence=table([200, 0, 12], np.arange(100)))) == "E_TAG"


@pytest.mark.parametrize("value", [b"nan", b"inf", b"1e400", b"abc", b"", b"0", b"1\\2"])
def test_senseless_slope_is_refused(value: bytes) -> None:
    data = dicom(ramp(12), RescaleSlope="12345678", RescaleIntercept="0")
    assert refusal(data.replace(b"12345678", value.ljust(8))) == "E_TAG"
    assert refusal(data.replace(b"12345678", b"1e300   ")) == "E_NONFINITE"


# --- polarity --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT"])
def test_monochrome1_twin(signed: bool, function: str) -> None:
    stored, slope, intercept = ramp(12, signed), 0.37, -11.5
    ends = int(stored.min()) + int(stored.max())
    flipped = (ends - stored.astype(np.int32)).astype(stored.dtype)
    mirror = slope * ends + 2 * intercept
    center, width = 301.25, 400.0
    rule = {"BitsStored": 12, "RescaleSlope": slope, "RescaleIntercept": intercept, "VOILUTFunction": function}
    twin_center = mirror - center + (function == "LINEAR")
    bright = read(dicom(stored, WindowCenter=center, WindowWidth=width, **rule))
    dark = read(
        dicom(flipped, PhotometricInterpretation="MONOCHROME1", WindowCenter=twin_center, WindowWidth=width, **rule)
    )
    assert_allclose(dark.frame.pixels, bright.frame.pixels, rtol=1e-6, atol=1e-4)
    assert_allclose(dark.frame.window, bright.frame.window, rtol=1e-9)
    assert_allclose(displayed(dark.frame), displayed(bright.frame), atol=1e-5)
    assert vocabulary.INVERTED in dark.notes
    assert vocabulary.INVERTED not in bright.notes


@pytest.mark.parametrize("modality", ["CT", "NM"])
def test_physical_values_are_never_inverted(modality: str) -> None:
    stored = ramp(12)
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        frame = read(dicom(stored, Modality=modality, PhotometricInterpretation=photometric)).frame
        assert_array_equal(frame.pixels, stored)


# --- padding ---------------------------------------------------------------------------------------------------------


def test_padded_twin() -> None:
    plain = ramp(12).astype(np.int16)
    padded = plain.copy()
    padded[:, :8] = -2000
    frame = read(dicom(padded, PixelPaddingValue=-2000, **CT)).frame
    assert frame.padding is not None
    assert frame.padding[:, :8].all()
    assert not frame.padding[:, 8:].any()
    assert_array_equal(frame.pixels[:, 8:], read(dicom(plain, **CT)).frame.pixels[:, 8:])
    assert (frame.pixels[:, :8] == frame.pixels[:, 8:].min()).all()


def test_padding_range() -> None:
    stored = ramp(12).astype(np.int16) + 500
    stored[0], stored[1], stored[2] = -2000, -1990, -1980
    frame = read(dicom(stored, PixelPaddingValue=-2000, PixelPaddingRangeLimit=-1990, **CT)).frame
    assert frame.padding is not None
    assert frame.padding[:2].all()
    assert not frame.padding[2:].any()


def test_padding_outside_the_stored_bits() -> None:
    stored = ramp(12)
    stored[0] = 63536  # -2000 in a file whose values have 12 bits; its low 12 bits are a real value
    stored[1] = 63536 & 0x0FFF
    frame = read(dicom(stored, BitsStored=12, PixelPaddingValue=63536, **CT)).frame
    assert frame.padding is not None
    assert frame.padding[0].all()
    assert not frame.padding[1:].any()


def test_padding_of_a_dark_twin_is_dark() -> None:
    stored = ramp(12)
    stored[0] = 0
    frame = read(dicom(stored, BitsStored=12, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0)).frame
    assert (frame.pixels[0] == frame.pixels[1:].min()).all()


def test_absent_padding_value_and_full_padding() -> None:
    assert read(dicom(ramp(12) + 1, PixelPaddingValue=0)).frame.padding is None
    frame = read(dicom(np.zeros((48, 64), np.uint16), PixelPaddingValue=0)).frame
    assert frame.padding is not None
    assert frame.padding.all()


# --- window ----------------------------------------------------------------------------------------------------------


def test_first_window_counts() -> None:
    frame = read(dicom(ramp(12), WindowCenter=[40, 600], WindowWidth=[400, 1500], **CT)).frame
    assert frame.window == (40, 400)


@pytest.mark.parametrize("width", ["0", "-5", "0.5"])
def test_senseless_window_is_ignored(width: str) -> None:
    study = read(dicom(ramp(12), WindowCenter="40", WindowWidth=width))
    assert study.frame.window is None
    assert vocabulary.WINDOW_IGNORED in study.notes


def test_voi_table_when_there_is_no_window() -> None:
    stored = ramp(12)
    entries = np.arange(4096)[::-1] // 16
    study = read(dicom(stored, BitsStored=12, VOILUTSequence=table([4096, 0, 8], entries)))
    assert_array_equal(study.frame.pixels, entries[stored])
    assert study.frame.window == (128, 256)
    assert vocabulary.VOI_LUT_APPLIED in study.notes


def test_voi_table_twin_of_monochrome1() -> None:
    stored, entries = ramp(12), np.arange(4096) ** 2 // 4096
    bright = read(dicom(stored, BitsStored=12, VOILUTSequence=table([4096, 0, 12], entries))).frame
    flipped = table([4096, 0, 12], 4095 - entries[::-1])
    rule = {"BitsStored": 12, "PhotometricInterpretation": "MONOCHROME1", "VOILUTSequence": flipped}
    dark = read(dicom(4095 - stored, **rule)).frame
    assert_array_equal(dark.pixels, bright.pixels)
    assert_array_equal(displayed(dark), displayed(bright))


def test_voi_table_yields_to_a_window_and_to_units() -> None:
    lut = table([4096, 0, 8], np.zeros(4096))
    stored = ramp(12)
    windowed = read(dicom(stored, VOILUTSequence=lut, WindowCenter=2000, WindowWidth=4000)).frame
    assert_array_equal(windowed.pixels, stored)
    assert_array_equal(read(dicom(stored, VOILUTSequence=lut, **CT)).frame.pixels, stored - 1024.0)


def test_senseless_voi_table_is_ignored() -> None:
    study = read(dicom(ramp(12), VOILUTSequence=table([256, 0, 12], np.arange(3))))
    assert_array_equal(study.frame.pixels, ramp(12))
    assert vocabulary.VOI_LUT_IGNORED in study.notes


# --- spacing ---------------------------------------------------------------------------------------------------------


def test_spacing() -> None:
    both = read(dicom(ramp(12), PixelSpacing=[0.2, 0.3], ImagerPixelSpacing=[0.25, 0.35]))
    assert both.frame.spacing_mm == (0.2, 0.3)
    detector = read(dicom(ramp(12), ImagerPixelSpacing=[0.25, 0.35]))
    assert detector.frame.spacing_mm == (0.25, 0.35)
    assert vocabulary.DETECTOR_SPACING in detector.notes
    assert read(dicom(ramp(12))).frame.spacing_mm is None


@pytest.mark.parametrize("spacing", [b"0\\0 ", b"nan\\1", b"-1\\1", b"1   ", b"a\\b "])
def test_senseless_spacing_is_ignored(spacing: bytes) -> None:
    data = dicom(ramp(12), PixelSpacing=["1.25", "1.75"]).replace(b"1.25\\1.75 ", spacing.ljust(10))
    study = read(data)
    assert study.frame.spacing_mm is None
    assert vocabulary.SPACING_IGNORED in study.notes


# --- colour ----------------------------------------------------------------------------------------------------------


def test_planar_configuration_twin() -> None:
    rgb = rgb_picture()
    planes = describe(rgb, PlanarConfiguration=1)
    planes.PixelData = np.moveaxis(rgb, -1, 0).tobytes()
    for data in (dicom(rgb), finish(planes)):
        frame = read(data).frame
        assert frame.unit == "rgb"
        assert frame.pixels.dtype == np.uint8
        assert_array_equal(frame.pixels, rgb)


def test_ybr_twin_is_converted_once() -> None:
    rgb = rgb_picture()
    ybr = convert_color_space(rgb, "RGB", "YBR_FULL")
    frame = read(dicom(ybr, PhotometricInterpretation="YBR_FULL")).frame
    assert np.abs(frame.pixels.astype(int) - rgb).max() <= 2


def test_ybr_422_twin() -> None:
    rgb = np.repeat(rgb_picture((48, 32)), 2, axis=1)
    ybr = convert_color_space(rgb, "RGB", "YBR_FULL")
    dataset = describe(ybr, PhotometricInterpretation="YBR_FULL_422")
    pairs = np.stack([ybr[:, ::2, 0], ybr[:, 1::2, 0], ybr[:, ::2, 1], ybr[:, ::2, 2]], -1)
    dataset.PixelData = pairs.tobytes()
    assert np.abs(read(finish(dataset)).frame.pixels.astype(int) - rgb).max() <= 2


def test_sixteen_bit_colour_is_scaled() -> None:
    rgb = rgb_picture()
    assert_array_equal(read(dicom(rgb.astype(np.uint16) * 257)).frame.pixels, rgb)


@pytest.mark.parametrize("bits", [8, 16])
def test_palette_twin(bits: int) -> None:
    index = ramp(8)
    palette = rgb_picture((16, 16)).reshape(256, 3)
    entries = palette if bits == 8 else palette.astype("<u2") * 257
    dataset = describe(index, PhotometricInterpretation="PALETTE COLOR")
    for channel, colour in enumerate(("Red", "Green", "Blue")):
        dataset.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", [256, 0, bits])
        dataset.add_new(f"{colour}PaletteColorLookupTableData", "OW", entries[:, channel].tobytes())
    assert_array_equal(read(finish(dataset)).frame.pixels, palette[index])
    del dataset.RedPaletteColorLookupTableData
    assert refusal(finish(dataset)) == "E_TAG"


# --- frames ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("n_frames", [1, 2, 3, 10])
def test_the_number_of_frames_decides_not_the_shape(n_frames: int, samples: int) -> None:
    one = ramp(8) if samples == 1 else rgb_picture()
    volume = np.stack([np.roll(one, 3 * index, axis=0) for index in range(n_frames)])
    data = dicom(volume if n_frames > 1 else one, NumberOfFrames=n_frames)
    for index in {0, n_frames - 1}:
        study = read(data, index)
        assert_array_equal(study.frame.pixels, volume[index])
        assert study.tags["NumberOfFrames"] == str(n_frames)
        expected = {vocabulary.CHOSEN_FRAME if index else vocabulary.FIRST_FRAME} if n_frames > 1 else set()
        assert set(study.notes) == expected
    assert refusal(data, n_frames) == "E_USAGE"
    assert refusal(data, -1) == "E_USAGE"


def test_three_frames_of_three_rows_are_no_colours() -> None:
    volume = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    dataset = describe(volume[0], NumberOfFrames=3)
    dataset.PixelData = volume.tobytes() + b"\0"
    assert_array_equal(read(finish(dataset), 2).frame.pixels, volume[2])


def test_enhanced_images_keep_their_rules_per_frame() -> None:
    volume = np.stack([ramp(12)] * 2)
    dataset = describe(volume, Modality="CT")
    per_frame = []
    for intercept in (-1000, -900):
        group, value, measures = Dataset(), Dataset(), Dataset()
        value.RescaleSlope, value.RescaleIntercept = 2, intercept
        measures.PixelSpacing = [0.5, 0.6]
        group.PixelValueTransformationSequence = [value]
        group.PixelMeasuresSequence = [measures]
        per_frame.append(group)
    dataset.PerFrameFunctionalGroupsSequence = per_frame
    study = read(finish(dataset), 1)
    assert_array_equal(study.frame.pixels, volume[1] * 2.0 - 900)
    assert study.frame.spacing_mm == (0.5, 0.6)
    assert study.frame.unit == "HU"
    assert vocabulary.NO_RESCALE not in study.notes


# --- syntaxes without compression ------------------------------------------------------------------------------------


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    "syntax",
    [
        uids.ImplicitVRLittleEndian,
        uids.ExplicitVRLittleEndian,
        uids.ExplicitVRBigEndian,
        uids.DeflatedExplicitVRLittleEndian,
    ],
)
def test_uncompressed_syntaxes_are_twins(syntax: str, signed: bool) -> None:
    stored = ramp(12, signed)
    entries = np.arange(4096)
    study = read(dicom(stored, syntax, BitsStored=12))
    assert_array_equal(study.frame.pixels, stored)
    assert study.tags["TransferSyntaxUID"] == syntax
    if syntax != uids.ExplicitVRBigEndian and not signed:
        mapped = read(dicom(stored, syntax, BitsStored=12, ModalityLUTSequence=table([4096, 0, 12], entries[::-1])))
        assert_array_equal(mapped.frame.pixels, 4095 - stored)
