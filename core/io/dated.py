"""A study with the day of its examination, which only curation asks for."""

from dataclasses import dataclass, field
from datetime import date

from core.records import Study


@dataclass(frozen=True)
class DatedStudy:
    """What curation needs of a file beyond what a screening sees.

    Attributes:
        study: As `Reader.read` gives it.
        examined: Day of the examination, None when the header does not tell. It pairs the image with other tables and is not
            shown by repr.
    """

    study: Study
    examined: date | None = field(repr=False)
