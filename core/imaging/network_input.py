"""What the network saw: its prepared input as pictures."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_COLOURS = 3


@dataclass(frozen=True)
class InputPicture:
    """One view that the network was given.

    Attributes:
        picture: uint8 (H, W) where its channels show the same, else (H, W, 3).
        low, high: The lowest and the highest number in it.
    """

    picture: NDArray[np.uint8]
    low: float
    high: float


def input_pictures(channels: NDArray[np.float32]) -> list[InputPicture]:
    """One input at its own size, each channel from its lowest number (black) to its highest (white).

    Networks here take a grey image as three channels that differ by mean and spread only: scaled, they are one grey again.

    Args:
        channels: float32 (C, H, W); three at a time are one picture, else each is one.

    Returns:
        C / 3 or C pictures.
    """
    size = _COLOURS if len(channels) % _COLOURS == 0 else 1
    return [_picture(channels[start : start + size]) for start in range(0, len(channels), size)]


def _picture(channels: NDArray[np.float32]) -> InputPicture:
    """Of float32 (1 or 3, H, W)."""
    levels = np.stack([_levels(channel) for channel in channels])
    spread = levels.max(axis=0).astype(np.int16) - levels.min(axis=0)
    shown = levels[0] if spread.max() <= 1 else levels.transpose(1, 2, 0)
    return InputPicture(shown, float(channels.min()), float(channels.max()))


def _levels(channel: NDArray[np.float32]) -> NDArray[np.uint8]:
    low, high = channel.min(), channel.max()
    if high <= low:
        return np.zeros(channel.shape, np.uint8)
    return np.rint(255 * (channel - low) / (high - low)).astype(np.uint8)
