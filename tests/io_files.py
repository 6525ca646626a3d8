"""Files made in the tests of core.io: DICOM by pydicom, pictures by Pillow."""

import tempfile
from io import BytesIO
from pathlib import Path

import gdcm
import numpy as np
import pydicom.uid as uids
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

from core.errors import ScreeningError
from core.io.reader import Reader, shared_reader
from core.records import Frame, Study

RNG_SEED = 7


def read(data: bytes, frame: int = 0) -> Study:
    return shared_reader().read(data, frame)


def refusal(data: bytes, frame: int = 0, reader: Reader | None = None) -> str:
    """The code of the error that reading `data` must end in."""
    with pytest.raises(ScreeningError) as caught:
        (reader or shared_reader()).read(data, frame)
    return caught.value.code


def code_of_mutant(reader: Reader, mutant: bytes) -> str | None:
    """What a reader makes of hostile bytes: a listed error's code, or None for a Study, whose pixels must then be finite."""
    try:
        frame = reader.read(mutant).frame
    except ScreeningError as error:
        return error.code
    assert np.isfinite(frame.pixels).all()
    return None


def ramp(bits: int = 12, signed: bool = False, shape: tuple[int, int] = (48, 64)) -> np.ndarray:
    """Every part of the range that `bits` can hold, both ends included."""
    low = -(2 ** (bits - 1)) if signed else 0
    values = np.rint(np.linspace(low, low + 2**bits - 1, shape[0] * shape[1])).astype(np.int64)
    width = 8 if bits <= 8 else 16 if bits <= 16 else 32
    return values.reshape(shape).astype(f"{'i' if signed else 'u'}{width // 8}")


def rgb_picture(shape: tuple[int, int] = (48, 64)) -> np.ndarray:
    """Smooth colours, uint8 (H, W, 3)."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    channels = [255 * x / shape[1], 255 * y / shape[0], 255 - 255 * x / shape[1]]
    return np.stack(channels, -1).astype(np.uint8)


def describe(stored: np.ndarray, **elements: object) -> Dataset:
    """A radiograph without file meta; `elements` overrides by keyword, None removes."""
    n_frames = stored.shape[0] if stored.ndim == 4 or (stored.ndim == 3 and stored.shape[-1] != 3) else 1
    frame = stored[0] if n_frames > 1 or stored.ndim == 4 else stored
    dataset = Dataset()
    facts: dict[str, object] = {
        "SOPClassUID": uids.DigitalXRayImageStorageForPresentation,
        "SOPInstanceUID": "1.2.826.0.1.3680043.8.498.1",
        "Modality": "DX",
        "Rows": frame.shape[0],
        "Columns": frame.shape[1],
        "SamplesPerPixel": 3 if frame.ndim == 3 else 1,
        "PhotometricInterpretation": "RGB" if frame.ndim == 3 else "MONOCHROME2",
        "BitsAllocated": 8 * stored.dtype.itemsize,
        "BitsStored": 8 * stored.dtype.itemsize,
        "PixelRepresentation": int(stored.dtype.kind == "i"),
    }
    if frame.ndim == 3:
        facts["PlanarConfiguration"] = 0
    if n_frames > 1:
        facts["NumberOfFrames"] = n_frames
    facts |= elements
    # PixelRepresentation decides how others are written, so it comes first.
    for keyword, value in sorted(facts.items(), key=lambda fact: fact[0] != "PixelRepresentation"):
        if value is not None:
            setattr(dataset, keyword, value)
    if "BitsStored" in dataset:
        dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OB" if stored.dtype.itemsize == 1 else "OW"
    return dataset


def finish(dataset: Dataset, syntax: str = uids.ExplicitVRLittleEndian) -> bytes:
    """A whole file with preamble."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", "1.2.3")
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    out = BytesIO()
    uid = uids.UID(syntax)
    dataset.save_as(out, implicit_vr=uid.is_implicit_VR, little_endian=uid.is_little_endian, enforce_file_format=True)
    return out.getvalue()


def dicom(stored: np.ndarray, syntax: str = uids.ExplicitVRLittleEndian, **elements: object) -> bytes:
    """An uncompressed DICOM file of `stored` (H, W), (N, H, W), (H, W, 3) or (N, H, W, 3)."""
    if syntax == uids.ExplicitVRBigEndian:
        dataset = describe(stored, **elements)
        dataset.PixelData = stored.astype(stored.dtype.newbyteorder(">")).tobytes()
        return finish(dataset, syntax)
    return finish(describe(stored, **elements), syntax)


def compressed(stored: np.ndarray, syntax: str, plugin: str, **elements: object) -> bytes:
    """Through an encoder of pydicom."""
    dataset = describe(stored, **elements)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uids.ExplicitVRLittleEndian
    dataset.compress(syntax, encoding_plugin=plugin, generate_instance_uid=False)
    return finish(dataset, syntax)


def encapsulated(stored: np.ndarray, frames: list[bytes], syntax: str, **elements: object) -> bytes:
    """Around ready-made codestreams."""
    dataset = describe(stored, **elements)
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return finish(dataset, syntax)


def transcoded(data: bytes, syntax: int) -> bytes:
    """Through GDCM; `syntax` is one of gdcm.TransferSyntax."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "source.dcm"), Path(folder, "target.dcm")
        source.write_bytes(data)
        reader = gdcm.ImageReader()
        reader.SetFileName(str(source))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(target))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        return target.read_bytes()


def jpeg(pixels: np.ndarray, **options: object) -> bytes:
    return picture(Image.fromarray(pixels), "JPEG", quality=95, **options)


def picture(image: Image.Image, kind: str, **options: object) -> bytes:
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def displayed(frame: Frame) -> np.ndarray:
    """The LINEAR window of PS3.3 C.11.2.1.2, in 0..1."""
    assert frame.window is not None
    center, width = frame.window
    return np.clip((frame.pixels - (center - 0.5)) / (width - 1) + 0.5, 0, 1)
