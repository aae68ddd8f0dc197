"""From a source to a checked plan: names and headers are read, no pixels.

All that is missing, doubled, cut off or not said is found here, before a plate is begun.
"""

from collections.abc import Sequence
from pathlib import Path

from assay.errors import ImageError, VendorFileError
from assay.io.importers.channel_choice import ChannelChoice, choose_channels
from assay.io.importers.field_plans import Given, Piece, check_missing, plan_field
from assay.io.importers.file_names import (
    IMAGE_SUFFIXES,
    NamedFile,
    NamedFiles,
    find_images,
    name_files,
    refuse_vendor,
)
from assay.io.importers.plans import FieldPlan, ImportPlan, Progress
from assay.io.importers.tiff_images import TiffImage, read_tiff_images
from assay.io.importers.timeline import Timeline, clock_timeline, index_timeline
from assay.io.importers.wells_list import read_wells_list
from assay.protocol import Condition, Protocol
from assay.stack import FieldId

_MAX_WARNINGS = 20
_SHOWN = 4


def plan_import(
    source: Path,
    *,
    pattern: str | None = None,
    wells: Path | None = None,
    channel_names: Sequence[str] | None = None,
    axes: str | None = None,
    pixel_um: tuple[float, float] | None = None,
    frame_min: float | None = None,
    protocol: Protocol | None = None,
    allow_missing: bool = False,
    progress: Progress | None = None,
) -> ImportPlan:
    """Look at a TIFF file or a folder of them and plan the plate they become.

    Args:
        source: A TIFF file, or a folder of them.
        pattern: "incucyte", "plain", "well", or a regular expression with named groups (see `file_names.GROUPS`).
            None takes the preset that fits the most files; a single file is well A01.
        wells: A wells list (CSV) with the columns file and well, instead of a pattern.
        channel_names: Names, in the order of the planes; or "as written=as wanted" each, where the file names tell
            the channel.
        axes: What the planes of a file are, e.g. "TCYX", where the file does not say.
        pixel_um: Pixel size (y, x), before whatever the files or the protocol say.
        frame_min: Frame interval, likewise.
        protocol: Its [calibration] is used where nothing is given by hand, and its channels must exist.
        allow_missing: Take a series with missing planes; their frames are recorded as missing.
        progress: Told how many files were looked at.

    Raises:
        VendorFileError: Names or files are missing, doubled, or not understood.
        ImageError: A file is broken or cut off, or images of a field differ in size or type.
        CalibrationError: Pixel size or frame interval is not known.
        ProtocolError: The protocol names a channel that is not there.
    """
    named, conditions = _name(source, pattern, wells)
    choice = ChannelChoice.parse(channel_names)
    pieces = _look(named, choice, axes, progress)
    seen = [(piece.file.name, piece.channels) for piece in pieces]
    by_name = any(piece.file.channel is not None for piece in pieces)
    names = choose_channels(seen, by_name, choice)
    given = _given(protocol, pixel_um, frame_min)
    timeline = _timeline(pieces, given.frame_min)
    warnings = list(timeline.warnings) if timeline is not None else []
    warnings += [text for piece in pieces for text in piece.image.warnings]
    grouped: dict[FieldId, list[Piece]] = {}
    for piece in pieces:
        grouped.setdefault(piece.field, []).append(piece)
    fields = []
    for field in sorted(grouped):
        planned, told = plan_field(field, grouped[field], names, timeline, given)
        check_missing(planned, names, timeline, allow_missing)
        fields.append(planned)
        warnings += told
    _require_one_type(pieces)
    if protocol is not None:
        protocol.channel_indices(names, source.name)
    return ImportPlan(
        source=source,
        read_as=named.pattern,
        channel_names=names,
        dtype=pieces[0].image.dtype,
        fields=tuple(fields),
        conditions=conditions,
        ignored=named.ignored,
        warnings=_bounded(warnings + _shorter(fields)),
    )


def _look(
    named: NamedFiles, choice: ChannelChoice, axes: str | None, progress: Progress | None
) -> list[Piece]:
    """Read the headers of every file."""
    if progress is not None:
        progress.begin("looking at files", len(named.files))
    pieces: list[Piece] = []
    for file in named.files:
        images = read_tiff_images(file.path, axes=axes, channels=choice.names)
        pieces += [_piece(file, image, choice) for image in images]
        if progress is not None:
            progress.advance()
    return pieces


def _given(protocol: Protocol | None, pixel_um: tuple[float, float] | None, frame_min: float | None) -> Given:
    if protocol is not None:
        pixel_um = protocol.calibration.pixel_um if pixel_um is None else pixel_um
        frame_min = protocol.calibration.frame_min if frame_min is None else frame_min
    return Given(pixel_um=pixel_um, frame_min=frame_min)


def _name(source: Path, pattern: str | None, wells: Path | None) -> tuple[NamedFiles, tuple[Condition, ...]]:
    if pattern is not None and wells is not None:
        raise VendorFileError(
            "both --pattern and --wells were given. Keep one: either says which file is which well."
        )
    if source.name.endswith(".zarr"):
        raise VendorFileError(
            f"{source.name} is an OME-Zarr already: run `killassay check` or `killassay run` on it."
        )
    if source.is_dir():
        images, ignored = find_images(source)
    elif source.is_file():
        refuse_vendor(source)
        if source.suffix.lower() not in IMAGE_SUFFIXES:
            raise VendorFileError(
                f"{source.name} is not a TIFF file. Expected .tif, .tiff or a folder of them."
            )
        images, ignored = [(source.name, source)], []
    else:
        raise VendorFileError(f"{source} does not exist. Give a TIFF file or the folder with them.")
    if wells is not None:
        listed, conditions = read_wells_list(wells, images)
        return _with_ignored(listed, ignored), conditions
    if source.is_file() and pattern is None:
        return NamedFiles(
            files=(NamedFile(path=source, name=source.name, well=None),), pattern="one file", ignored=()
        ), ()
    return _with_ignored(name_files(images, pattern=pattern), ignored), ()


def _with_ignored(named: NamedFiles, ignored: Sequence[tuple[str, str]]) -> NamedFiles:
    return NamedFiles(files=named.files, pattern=named.pattern, ignored=(*named.ignored, *ignored))


def _piece(file: NamedFile, image: TiffImage, choice: ChannelChoice) -> Piece:
    """Bring together what the name and the headers say of one image."""
    timed = file.index is not None or file.minutes is not None
    if timed and image.frames > 1:
        raise VendorFileError(
            f"{file.name}: the name gives one time point, the file holds {image.frames} frames. Give --axes CYX if "
            "they are channels, or a pattern without time."
        )
    if file.channel is not None and image.channels > 1:
        raise VendorFileError(
            f"{file.name}: the name gives one channel ({file.channel}), the file holds {image.channels}. Give --axes "
            "TYX if they are frames, or a pattern without channel."
        )
    if file.channel is not None:
        channels: tuple[str, ...] = (choice.renamed(file.channel),)
    else:
        channels = choice.of_planes(file.name, image.channel_names)
    number = file.field if file.field is not None else image.field
    if file.field is not None and image.label:  # several images in a file that the name calls one field
        raise VendorFileError(
            f"{file.name} holds several images, the name or the wells list gives one field. Leave the field out."
        )
    well = file.well or image.well or "A01"
    return Piece(file=file, image=image, field=FieldId(well, number or 0), channels=channels)


def _timeline(pieces: Sequence[Piece], frame_min: float | None) -> Timeline | None:
    """The plate's clock; None where the files hold their films whole."""
    minutes = [piece.file.minutes for piece in pieces if piece.file.minutes is not None]
    indices = [piece.file.index for piece in pieces if piece.file.index is not None]
    timed = len(minutes) or len(indices)
    if timed and timed != len(pieces):
        without = next(p for p in pieces if p.file.minutes is None and p.file.index is None)
        raise VendorFileError(
            f"{without.file.name}: the name has no time point, others have one. Mend the pattern."
        )
    if minutes:
        return clock_timeline(minutes, frame_min=frame_min)
    return index_timeline(indices) if indices else None


def _require_one_type(pieces: Sequence[Piece]) -> None:
    first = pieces[0]
    for piece in pieces:
        if piece.image.dtype != first.image.dtype:
            raise ImageError(
                f"{first.file.name} holds {first.image.dtype}, {piece.file.name} {piece.image.dtype}. Expected one type "
                "in a plate: import them as two plates, or export them alike."
            )


def _shorter(fields: Sequence[FieldPlan]) -> list[str]:
    longest = max(entry.shape[0] for entry in fields)
    return [
        f"{entry.field}: the film ends after {entry.shape[0]} frames, the longest of the plate has {longest}."
        for entry in fields
        if entry.shape[0] < longest
    ]


def _bounded(warnings: Sequence[str]) -> tuple[str, ...]:
    unique = list(dict.fromkeys(warnings))
    if len(unique) <= _MAX_WARNINGS:
        return tuple(unique)
    return (*unique[:_MAX_WARNINGS], f"and {len(unique) - _MAX_WARNINGS} more warnings of the kind.")
