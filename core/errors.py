"""Every error a person can meet, in one closed table.

    ScreeningError            has a code, what happened, what was wanted, what was got, the next step
    ├── FileError             one file is at fault: the batch goes on
    ├── WeightsError          one model is at fault: its task is disabled, the others work
    ├── BusyError             nothing is at fault: try again
    ├── HistoryError          the database of history and audit log is at fault: screening works
    ├── PacsError             the PACS is at fault: samples and uploads work
    └── UsageError            the call is at fault (unknown task, wrong option)
        ├── TableError        a table of scores or labels is at fault
        └── BundleError       an evaluation bundle is at fault

The sentences are message ids of the catalogues (core.i18n), so a page can show them in its reader's language. `got` is a short
technical statement written by this program (numbers, tag keywords, UIDs of syntaxes); a tag value, file name or person's name
never enters it.
"""

from dataclasses import dataclass

from core.i18n import mark


@dataclass(frozen=True)
class Message:
    """The words of one error code: three message ids."""

    what: str
    wanted: str
    next_step: str


_ANOTHER_EXPORT = mark("Export the image again from the archive and try once more.")
_SMALLER = mark("Send a single image rather than a whole study, or a smaller one.")

MESSAGES: dict[str, Message] = {
    "E_TOO_LARGE": Message(mark("The file is too large."), mark("A file within the size limit."), _SMALLER),
    "E_BOMB": Message(
        mark("The file would unpack to far more data than an image needs."),
        mark("An image of at most 40 million pixels and 512 MB unpacked."),
        _SMALLER,
    ),
    "E_TRUNCATED": Message(mark("The file ends before its image does."), mark("A complete file."), _ANOTHER_EXPORT),
    "E_NOT_IMAGE": Message(
        mark("The file holds no image that this program can show."),
        mark("A DICOM image, a PNG, JPEG, TIFF or BMP picture, or a MATLAB .mat file."),
        mark("Choose the image itself: reports, presentation states and documents hold no pixels."),
    ),
    "E_CODEC": Message(
        mark("The image is compressed in a way that this program cannot decode."),
        mark("Uncompressed, RLE, JPEG, JPEG lossless, JPEG 2000 or JPEG-LS data."),
        mark("Ask the archive to export the image uncompressed."),
    ),
    "E_TAG": Message(
        mark("A header entry that is needed to read the pixels is missing or makes no sense."),
        mark("A header that describes its pixels."),
        _ANOTHER_EXPORT,
    ),
    "E_BURNED_IN": Message(
        mark("Text may be burned into the image, so copies of it cannot be called de-identified."),
        mark("An image without burned-in text, and a header that says so."),
        mark(
            "Remove the text in the archive, or let the header say NO where there is none, and export the image again."
        ),
    ),
    "E_MAT": Message(
        mark("The MATLAB file holds no bone scan that this program can read."),
        mark("A .mat file (v5 or v7.3) whose variable V or Y, or only image, is an array of 1024 x 256 x 2 counts."),
        mark("Save the anterior and the posterior view together as one numeric array and try once more."),
    ),
    "E_SERIES": Message(
        mark("The file holds no slice of a series that this program can read."),
        mark(
            "DICOM slices of one patient, all of one size, in a folder or in a zip file without password or inner zip files."
        ),
        mark("Export one series alone, zip its folder without a password and try once more."),
    ),
    "E_NONFINITE": Message(
        mark("A calculation did not give a finite number, so no score is shown."),
        mark("Finite pixel values and a finite score."),
        mark("Try another image; if it happens again, reinstall the weights and run the self-check."),
    ),
    "E_CRASH": Message(
        mark("The reader stopped while decoding this file and was restarted."),
        mark("A file that decodes."),
        _ANOTHER_EXPORT,
    ),
    "E_TIMEOUT": Message(
        mark("Decoding this file took too long and was stopped."),
        mark("A file that decodes within the time limit."),
        _ANOTHER_EXPORT,
    ),
    "E_WEIGHTS": Message(
        mark("The weights of this model were refused."),
        mark("The weights file that belongs to the manifest."),
        mark("Install the weights again, then run the self-check."),
    ),
    "E_BUSY": Message(mark("The server is busy."), mark("A free place in the queue."), mark("Try again in a moment.")),
    "E_TABLE": Message(
        mark("The file cannot be read as a table."),
        mark("A CSV file in UTF-8 with commas between its columns."),
        mark("Save the table as CSV UTF-8 and try once more."),
    ),
    "E_COLUMN": Message(
        mark("A column of the table is missing or there twice, or holds too many different names."),
        mark(
            "The columns label and score; patient, group and model may stand beside them. 200 groups and 20 models at most."
        ),
        mark("Name the columns as in the example: small letters, in the first row."),
    ),
    "E_ROW": Message(
        mark("A row of the table lacks a value or has one that cannot be used."),
        mark(
            "In every row a label of 0 or 1, a finite number as score, and no gap in the columns patient, group and model."
        ),
        mark(
            "Correct the named row; rows are counted from the first one below the head. A value with a comma needs quotes."
        ),
    ),
    "E_CASES": Message(
        mark("The scores of this table cannot be measured."),
        mark(
            "Positive and negative cases, at least two patients of each for every model, and one label for each patient."
        ),
        mark("Add cases of the missing class, or correct the labels."),
    ),
    "E_LABEL_TABLE": Message(
        mark("The file cannot be read as a table of labels."),
        mark(
            "A CSV file, or an XLSX workbook with the table in its first sheet: a head and at most 200,000 rows below it."
        ),
        mark("Save the sheet as CSV UTF-8, or as XLSX without a password, and try once more."),
    ),
    "E_HEAD": Message(
        mark("A column of the table has no name, or two columns have the same one."),
        mark("In the first row one name for each column, each there once."),
        mark("Correct the first row; columns are counted from the left."),
    ),
    "E_DATABASE": Message(
        mark("The database cannot be read."),
        mark("The address of a database whose driver is installed, and the name of a table in it."),
        mark("Check the address, the name of the table, the rights of the user, and that the driver is installed."),
    ),
    "E_MAPPING": Message(
        mark("What is said about the columns of the table does not fit it."),
        mark("A column that names the image or the examination, and columns of labels that the task knows."),
        mark("Choose the columns and what their values mean once more."),
    ),
    "E_ARCHIVE": Message(
        mark("The zip file of images was refused."),
        mark("A zip file of at most 20,000 files and 2 GB unpacked, without password, links or zip files inside."),
        mark("Zip the folder of images once more, in smaller parts if needed."),
    ),
    "E_BUNDLE": Message(
        mark("The file is no evaluation bundle that this program can use."),
        mark("A zip file as this program wrote it: every file in it unchanged, and none added or missing."),
        mark("Export the evaluation again, or ask its sender for the file as it was written."),
    ),
    "E_HISTORY": Message(
        mark("The history cannot be read or written."),
        mark("A database that this program can open, made by this version or an earlier one."),
        mark(
            "Check its address in fivefold.toml, the rights of the user, the space on the disk, and that its driver is installed."
        ),
    ),
    "E_PACS": Message(
        mark("The PACS did not answer as it should."),
        mark("A DICOMweb server that can be reached from this machine and accepts the credentials of this program."),
        mark("Try again in a moment; if it happens again, ask who runs this program to check its settings."),
    ),
    "E_PACS_OBJECT": Message(
        mark("An object could not be fetched from the PACS, or not be stored in it."),
        mark("A DICOM file of the study that was asked for, and a PACS that accepts new objects in it."),
        mark("Search again; if it happens again, ask the archive about this study."),
    ),
    "E_USAGE": Message(
        mark("The request cannot be understood."),
        mark("One of the documented options."),
        mark("See the help of the command."),
    ),
}


class ScreeningError(Exception):
    """What happened, what was wanted, what was got and what to do next.

    Args:
        code: A key of MESSAGES.
        got: What was found, in technical terms, in English; may be empty.
    """

    def __init__(self, code: str, got: str = "") -> None:
        self.code = code
        self.got = got
        self.message = MESSAGES[code]
        super().__init__(f"{code}: {self.message.what}" + (f" ({got})" if got else ""))


class FileError(ScreeningError):
    """One file is at fault; the batch goes on."""


class WeightsError(ScreeningError):
    """One model is at fault; other tasks keep working."""

    def __init__(self, got: str = "") -> None:
        super().__init__("E_WEIGHTS", got)


class BusyError(ScreeningError):
    """Nothing is at fault; try again."""

    def __init__(self, got: str = "") -> None:
        super().__init__("E_BUSY", got)


class HistoryError(ScreeningError):
    """The database of history and audit log is at fault; screening works."""

    def __init__(self, got: str = "") -> None:
        super().__init__("E_HISTORY", got)


class PacsError(ScreeningError):
    """The PACS is at fault; what does not need it goes on."""

    def __init__(self, got: str = "") -> None:
        super().__init__("E_PACS", got)


class UsageError(ScreeningError):
    """The call is at fault."""

    def __init__(self, got: str = "") -> None:
        super().__init__("E_USAGE", got)


class TableError(UsageError):
    """A table of scores or labels is at fault."""

    def __init__(self, code: str, got: str = "") -> None:
        ScreeningError.__init__(self, code, got)


class BundleError(UsageError):
    """An evaluation bundle is at fault."""

    def __init__(self, got: str = "") -> None:
        ScreeningError.__init__(self, "E_BUNDLE", got)
