"""Every error that a user can mend.

Each is an `AssayError` and also the builtin it stands for, so that a script may catch either. The message
says what was expected, what came, which well, field and frame, and what to do next; the command line prints
it as one line and ends with exit code 2.
"""


class AssayError(Exception):
    """Something the user, or the keeper of the machine, can mend."""


class ProtocolError(AssayError, ValueError):
    """The protocol file asks for something unknown, impossible or contradictory."""


class CalibrationError(AssayError, ValueError):
    """Pixel size or frame interval is missing or cannot be true."""


class ShapeError(AssayError, ValueError):
    """Two arrays that must fit each other do not."""


class ImageError(AssayError, ValueError):
    """An image or plate on disk is broken, incomplete or not what it says it is."""


class LostPixelsError(ImageError):
    """A part of an image is gone for good: a chunk of it was deleted, never written, or does not decode."""


class VendorFileError(AssayError, ValueError):
    """Vendor files cannot become a plate: files are missing, doubled or not understood."""


class ResultsError(AssayError, ValueError):
    """A RESULTS folder belongs to another run, or lacks what is asked of it."""


class ModelError(AssayError, ValueError):
    """A model's weights or card are missing, broken or do not fit."""


class DeviceError(AssayError, RuntimeError):
    """The device that was asked for is not there, or ran out of memory."""


class StorageError(AssayError, OSError):
    """The disk is full, read-only or otherwise refuses."""


class TableError(AssayError, ValueError):
    """A table lacks a column, or holds one of another type."""


class DamageError(AssayError, ValueError):
    """A file that killassay wrote is not as it was written: altered, cut short, exchanged or gone.

    Args:
        message: The whole line.
        why: What is wrong with it, in few words.
    """

    def __init__(self, message: str, *, why: str = "it was changed after it was written") -> None:
        super().__init__(message)
        self.why = why
