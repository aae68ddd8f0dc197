"""Where a command may write: never into a plate, never over what is something else."""

from pathlib import Path

from assay.errors import ResultsError

_GROUP_FILES = ("zarr.json", ".zgroup", ".zattrs")


def refuse_inside_plate(path: Path, option: str) -> None:
    """Raw data is only read: nothing is written into an OME-Zarr plate or image.

    Raises:
        ResultsError: The path is a folder of OME-Zarr data, or lies in one.
    """
    path = path.absolute()
    for folder in (path, *path.parents, *path.resolve().parents):
        if any((folder / name).is_file() for name in _GROUP_FILES):
            raise ResultsError(
                f"{option} {path}: lies in {folder}, which is OME-Zarr data and is never changed. "
                f"Choose a folder beside it for {option}."
            )


def output_folder(path: Path, option: str) -> Path:
    """Make the folder, with those above it.

    Raises:
        ResultsError: There is a file of that name, or the path lies in a plate.
    """
    refuse_inside_plate(path, option)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ResultsError(f"{option} {path}: is a file, or lies in one. Expected a folder.") from None
    return path


def write_text_file(path: Path, text: str, option: str) -> None:
    """Write a text file into a folder that exists.

    Raises:
        ResultsError: The folder does not exist, the path is a folder, or it lies in a plate.
    """
    refuse_inside_plate(path, option)
    try:
        path.write_text(text, encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise ResultsError(f"{option} {path}: there is no folder {path.parent}. Make it first.") from None
    except IsADirectoryError:
        raise ResultsError(f"{option} {path}: is a folder. Expected the name of a file.") from None
