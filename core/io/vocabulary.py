"""All words that may come back from the reader process: tag keywords and notes. The server refuses any other."""

from core.i18n import mark

MAX_TAG_CHARS = 64
MAX_PIXELS = 40_000_000
"""Largest frame; a mammogram has 35 million pixels."""
MAX_UNPACKED_BYTES = 512 * 2**20
MAX_FILES = 5_000
"""Most files of an archive or a folder."""
MAX_TABLE_ROWS, MAX_TABLE_COLUMNS, MAX_TABLE_CELLS = 200_000, 200, 4_000_000
MAX_TABLE_LETTERS = 32 * 2**20
"""Of all cells of a label table together, with one more for each cell."""

TAGS = frozenset(
    {
        "BitsStored",
        "BodyPartExamined",
        "BurnedInAnnotation",
        "Columns",
        "ContrastBolusAgent",  # only "yes"
        "ConvolutionKernel",
        "ImageLaterality",
        "ImageType",
        "ImagerPixelSpacing",
        "KVP",
        "KneeJointId",  # two codes, right and left
        "KneeJointName",  # the same as codes again
        "Laterality",
        "Modality",
        "NumberOfFrames",
        "PatientOrientation",
        "PatientPosition",
        "PhotometricInterpretation",
        "PixelPresentation",
        "PixelSpacing",
        "PresentationIntentType",
        "RescaleType",
        "Rows",
        "SOPClassUID",
        "SlicePosition",  # mm along the normal of the slice
        "SliceThickness",
        "TransferSyntaxUID",
        "ViewPosition",
    }
)

MATCH_KEYS = frozenset({"accession", "patient_date"})
"""Kinds of keyed hashes that a study carries beside its pseudonym."""

FIRST_FRAME = mark("The file holds several frames; the first one is used.")
ANTERIOR_VIEW = mark("The file holds several views; the anterior one is used.")
CHOSEN_FRAME = mark("The file holds several frames; the chosen one is used.")
EXCESS_BYTES = mark("The file holds more pixel bytes than its header describes; the excess is ignored.")
NO_PREAMBLE = mark("The file lacks the DICOM preamble; it was read because it describes an image.")
SYNTAX_GUESSED = mark("The file does not name its transfer syntax; uncompressed data was assumed.")
INVERTED = mark("Low values mean bright in this file; the image was inverted so that high is bright.")
PADDING = mark("Pixels that the scanner marked as padding were masked.")
WINDOW_IGNORED = mark("The display window in the header makes no sense and is ignored.")
VOI_LUT_APPLIED = mark("The display table in the header was applied to the pixels.")
VOI_LUT_IGNORED = mark("The display table in the header makes no sense and is ignored.")
DETECTOR_SPACING = mark("The pixel spacing is that of the detector, not corrected for magnification.")
SPACING_IGNORED = mark("The pixel spacing in the header makes no sense and is ignored.")
NO_RESCALE = mark("The header does not say how to convert stored values to HU; they are taken as HU.")
TRANSPARENT = mark("Transparent parts were laid on black.")
ROTATED = mark("The picture was turned upright as its EXIF entry asks.")
NEGATIVE_COUNTS = mark("Negative counts were set to zero.")

READ_AS_BIG5 = mark("The table is not in UTF-8; it was read as Big5 (traditional Chinese).")
READ_AS_CP949 = mark("The table is not in UTF-8; it was read as CP949 (Korean).")
FIRST_SHEET = mark("The workbook has several sheets; the first one is used.")
TABLE_NOTES = frozenset({READ_AS_BIG5, READ_AS_CP949, FIRST_SHEET})

NOTES = frozenset(
    {
        FIRST_FRAME,
        ANTERIOR_VIEW,
        CHOSEN_FRAME,
        EXCESS_BYTES,
        NO_PREAMBLE,
        SYNTAX_GUESSED,
        INVERTED,
        PADDING,
        WINDOW_IGNORED,
        VOI_LUT_APPLIED,
        VOI_LUT_IGNORED,
        DETECTOR_SPACING,
        SPACING_IGNORED,
        NO_RESCALE,
        TRANSPARENT,
        ROTATED,
        NEGATIVE_COUNTS,
    }
)
