"""PNG, JPEG, TIFF and BMP bytes to a Study. Runs in the reader process only.

Grey values keep the scale of the file: 0..255 for 8 bits, 0..65535 for 16 bits, floats as they are.
"""

import hashlib
import warnings
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from core.errors import FileError, UsageError
from core.io import vocabulary
from core.records import Frame, Study

FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\x00", b"MM\x00*")
# Pillow's own conversion of these clips at 255.
_WIDE_MODES = {"I;16": 16, "I;16L": 16, "I;16B": 16, "I;16N": 16, "I": 32, "F": 32}


def looks_raster(data: bytes) -> bool:
    """Whether `data` starts like one of FORMATS."""
    is_bmp = data[:2] == b"BM" and data[6:10] == bytes(4)  # a text may begin with BM too
    return is_bmp or data.startswith(_SIGNATURES)


def read_raster(data: bytes, index: int) -> Study:
    """Read the first picture of a raster file.

    Args:
        data: The whole file, for which looks_raster holds.
        index: Must be 0.

    Returns:
        A study with one frame: float32 (H, W) "relative", or uint8 (H, W, 3) "rgb" when the channels differ.

    Raises:
        FileError: E_TRUNCATED, E_BOMB, E_CODEC or E_NONFINITE.
        UsageError: `index` is not 0.
    """
    if index:
        raise UsageError(f"frame {index + 1} of a picture")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            image, notes = _open(data)
            pixels, bits = _pixels(image, notes)
        except FileError:
            raise
        except (Image.DecompressionBombWarning, Image.DecompressionBombError, MemoryError) as error:
            raise FileError("E_BOMB", "the picture is too large to unpack") from error
        except UnidentifiedImageError as error:
            raise FileError("E_TRUNCATED", "the picture has no whole header") from error
        except (OSError, EOFError) as error:
            raise FileError("E_TRUNCATED", "the picture ends early or is damaged") from error
        except Exception as error:
            raise FileError("E_CODEC", "the picture does not decode") from error
    return Study(
        frames=(Frame(pixels, "rgb" if pixels.ndim == 3 else "relative"),),
        file_sha256=hashlib.sha256(data).hexdigest(),
        container="raster",
        tags={"Rows": str(pixels.shape[0]), "Columns": str(pixels.shape[1]), "BitsStored": str(bits)},
        notes=tuple(notes),
    )


def _open(data: bytes) -> tuple[Image.Image, list[str]]:
    """Decode after a look at the header's size, and turn upright."""
    image = Image.open(BytesIO(data), formats=FORMATS)
    if image.width * image.height > vocabulary.MAX_PIXELS:
        raise FileError("E_BOMB", f"{image.height} x {image.width} pixels")
    notes = [vocabulary.FIRST_FRAME] if getattr(image, "n_frames", 1) > 1 else []
    image.load()
    upright = ImageOps.exif_transpose(image)
    if image.getexif().get(0x0112, 1) != 1:
        notes.append(vocabulary.ROTATED)
    return upright, notes


def _pixels(image: Image.Image, notes: list[str]) -> tuple[NDArray[np.generic], int]:
    """Pixels of the frame and the bit depth of the file's samples."""
    if image.mode in _WIDE_MODES:
        wide = np.asarray(image).astype(np.float32)
        if not np.isfinite(wide).all():
            raise FileError("E_NONFINITE", "pixel values")
        return wide, _WIDE_MODES[image.mode]
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        straight = image.convert("RGBA")
        if straight.getchannel("A").getextrema() != (255, 255):
            notes.append(vocabulary.TRANSPARENT)
        image = Image.alpha_composite(black, straight)
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L")).astype(np.float32), 8
    rgb = np.asarray(image.convert("RGB"))
    if (rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 1] == rgb[..., 2]).all():
        return rgb[..., 0].astype(np.float32), 8
    return rgb, 8
