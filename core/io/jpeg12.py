"""JPEG Extended (transfer syntax .51) with 12-bit samples through GDCM.

pydicom's own GDCM plugin refuses 12-bit samples and Pillow cannot decode them. Handed single fragments, as here, GDCM can:
checked against libjpeg, at most one grey level of difference (the rounding of the inverse transform).
"""

import gdcm
from pydicom.pixels.decoders.base import DecodeRunner
from pydicom.uid import JPEGExtended12Bit

DECODER_DEPENDENCIES = {JPEGExtended12Bit: ("python-gdcm",)}


def is_available(uid: str) -> bool:
    """Whether this plugin decodes `uid`; asked by pydicom."""
    return uid in DECODER_DEPENDENCIES


def decode_frame(src: bytes, runner: DecodeRunner) -> bytes:
    """Decode one monochrome 12-bit frame; called by pydicom.

    Raises:
        NotImplementedError: More than one sample a pixel.
    """
    if runner.samples_per_pixel != 1:
        raise NotImplementedError("12-bit colour")
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(src)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((runner.columns, runner.rows, 1))
    image.SetDataElement(element)
    photometric = gdcm.PhotometricInterpretation.GetPIType("MONOCHROME2")
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(photometric))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGExtendedProcess2_4))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, 12, 11, runner.pixel_representation))
    # GDCM hands its char* over as str.
    decoded: bytes = image.GetBuffer().encode("utf-8", "surrogateescape")
    return decoded
