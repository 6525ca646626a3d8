"""The region of the chest task: the whole film, made square."""

from core.records import Laterality, Region, Regions, Study


def locate(study: Study, laterality: Laterality | None = None) -> Regions:
    """The smallest square around the whole frame, with the frame in its middle.

    Args:
        study: A frontal chest film.
        laterality: Has no meaning here.
    """
    rows, columns = study.frame.pixels.shape[:2]
    side = max(rows, columns)
    left, top = (columns - side) / 2, (rows - side) / 2
    return (Region((left, top, left + side, top + side), source="whole"),)
