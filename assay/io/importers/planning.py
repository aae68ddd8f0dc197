"""From a source to a checked plan: names and headers are read, no pixels.

All that is missing, doubled, cut off or not said is found here, before a plate is begun.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.errors import CalibrationError, ImageError, VendorFileError
from assay.io.importers.channel_choice import ChannelChoice, choose_channels
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
from assay.io.importers.tiff_pages import PlaneSource
from assay.io.importers.timeline import Timeline, clock_timeline, index_timeline
from assay.io.importers.wells_list import read_wells_list
from assay.protocol import Condition, Protocol
from assay.stack import FieldId
from assay.units import Calibration

_MAX_WARNINGS = 20
_SHOWN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """One image of one file, and the field and time point it belongs to."""

    file: NamedFile
    image: TiffImage
    field: FieldId
    channels: tuple[str, ...]


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
    pieces: list[_Piece] = []
    if progress is not None:
        progress.begin("looking at files", len(named.files))
    for file in named.files:
        images = read_tiff_images(file.path, axes=axes, channels=choice.names)
        pieces += [_piece(file, image, choice) for image in images]
        if progress is not None:
            progress.advance()
    names = choose_channels([(piece.file.name, piece.channels) for piece in pieces], _by_name(pieces), choice)
    given = protocol.calibration if protocol is not None else None
    if given is not None:
        pixel_um = given.pixel_um if pixel_um is None else pixel_um
        frame_min = given.frame_min if frame_min is None else frame_min
    timeline = _timeline(pieces, frame_min)
    warnings = [
        *(timeline.warnings if timeline else ()),
        *(text for piece in pieces for text in piece.image.warnings),
    ]
    grouped: dict[FieldId, list[_Piece]] = {}
    for piece in pieces:
        grouped.setdefault(piece.field, []).append(piece)
    fields = []
    for field in sorted(grouped):
        planned, spoken = _plan_field(field, grouped[field], names, timeline, pixel_um, frame_min)
        _check_missing(planned, names, timeline, allow_missing)
        fields.append(planned)
        warnings += spoken
    _require_one_type(pieces)
    warnings += _shorter(fields)
    if protocol is not None:
        protocol.channel_indices(names, str(source.name))
    return ImportPlan(
        source=source,
        read_as=named.pattern,
        channel_names=names,
        dtype=pieces[0].image.dtype,
        fields=tuple(fields),
        conditions=conditions,
        ignored=named.ignored,
        warnings=_bounded(warnings),
    )


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


def _piece(file: NamedFile, image: TiffImage, choice: ChannelChoice) -> _Piece:
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
    return _Piece(file=file, image=image, field=FieldId(well, number or 0), channels=channels)


def _by_name(pieces: Sequence[_Piece]) -> bool:
    return any(piece.file.channel is not None for piece in pieces)


def _timeline(pieces: Sequence[_Piece], frame_min: float | None) -> Timeline | None:
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


def _plan_field(
    field: FieldId,
    pieces: Sequence[_Piece],
    names: tuple[str, ...],
    timeline: Timeline | None,
    pixel_um: tuple[float, float] | None,
    frame_min: float | None,
) -> tuple[FieldPlan, list[str]]:
    planes: dict[tuple[int, int], PlaneSource] = {}
    owner: dict[tuple[int, int], str] = {}
    first = pieces[0]
    for piece in pieces:
        _require_alike(field, first, piece)
        point = piece.file.minutes if piece.file.minutes is not None else piece.file.index
        for frame in range(piece.image.frames):
            at = frame if timeline is None or point is None else timeline.frames[point]
            for channel, name in enumerate(piece.channels):
                place = (at, names.index(name))
                if place in planes:
                    raise VendorFileError(
                        f"{field}, frame {at}, channel {name!r} stands in two files: {owner[place]} and "
                        f"{piece.file.name}. Keep one, number the fields in the wells list, or give a --pattern that "
                        "tells them apart (a pattern with '/' reads folder names too)."
                    )
                planes[place], owner[place] = piece.image.plane(frame, channel), piece.file.name
    n_frames = 1 + max(frame for frame, _ in planes)
    calibration, warnings = _calibration(field, pieces, n_frames, timeline, pixel_um, frame_min)
    files = {piece.file.name: piece.file.path for piece in pieces}
    planned = FieldPlan(
        field=field,
        shape=(n_frames, len(names), *first.image.shape),
        calibration=calibration,
        planes=planes,
        files=tuple(files.items()),
    )
    return planned, warnings


def _require_alike(field: FieldId, first: _Piece, piece: _Piece) -> None:
    if piece.image.shape != first.image.shape or piece.image.dtype != first.image.dtype:
        raise ImageError(
            f"{field}: {first.file.name} is {first.image.shape} {first.image.dtype}, {piece.file.name} is "
            f"{piece.image.shape} {piece.image.dtype}. Expected one size (y, x) and one type within a field."
        )


def _require_one_type(pieces: Sequence[_Piece]) -> None:
    first = pieces[0]
    for piece in pieces:
        if piece.image.dtype != first.image.dtype:
            raise ImageError(
                f"{first.file.name} holds {first.image.dtype}, {piece.file.name} {piece.image.dtype}. Expected one type "
                "in a plate: import them as two plates, or export them alike."
            )


def _calibration(
    field: FieldId,
    pieces: Sequence[_Piece],
    n_frames: int,
    timeline: Timeline | None,
    pixel_um: tuple[float, float] | None,
    frame_min: float | None,
) -> tuple[Calibration, list[str]]:
    """Given by hand or by the protocol, else what the files say; what nobody says is asked for."""
    warnings: list[str] = []
    said = [(piece.image.pixel_um, piece.file.name) for piece in pieces if piece.image.pixel_um is not None]
    stated = said[0][0] if said else None
    for size, name in said:
        if stated is not None and size is not None and not _close(stated, size):
            raise CalibrationError(
                f"{field}: pixel size (y, x) is {stated} um in {said[0][1]} and {size} um in {name}. Expected one per field."
            )
    if pixel_um is not None and stated is not None and not _close(stated, pixel_um):
        warnings.append(f"{field}: pixel size {stated} um in the files was overruled by {pixel_um} um.")
    pixel_um = pixel_um or stated
    if pixel_um is None:
        raise CalibrationError(
            f"{field}: {pieces[0].file.name} has no pixel size, so distances in um cannot be measured. Give "
            "--pixel-um Y,X, e.g. --pixel-um 0.65,0.65, or pixel_um under [calibration] in the protocol."
        )
    interval = timeline.frame_min if timeline is not None else pieces[0].image.frame_min
    if frame_min is not None and interval is not None and abs(interval - frame_min) > 1e-6 * interval:
        warnings.append(
            f"{field}: frame interval {interval:g} min of the files was overruled by {frame_min:g} min."
        )
    interval = interval if frame_min is None else frame_min
    if n_frames > 1 and interval is None:
        note = pieces[0].image.frame_note
        raise CalibrationError(
            f"{field}: {pieces[0].file.name} does not say how long a frame interval is "
            f"({n_frames} frames{'; ' + note if note else ''}). Give "
            "--frame-min, e.g. --frame-min 4, or frame_min under [calibration] in the protocol."
        )
    try:
        return Calibration(pixel_um=pixel_um, frame_min=interval), warnings
    except CalibrationError as error:
        raise CalibrationError(f"{field}, {pieces[0].file.name}: {error}") from error


def _close(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return all(abs(a - b) <= 1e-4 * max(a, b) for a, b in zip(one, other, strict=True))


def _check_missing(
    planned: FieldPlan, names: tuple[str, ...], timeline: Timeline | None, allow_missing: bool
) -> None:
    """Refuse a series with holes, by name, unless holes were allowed."""
    frames = range(planned.shape[0])
    absent = [(t, c) for t in frames for c in range(len(names)) if (t, c) not in planned.planes]
    if not absent:
        return
    for channel, name in enumerate(names):
        if all((t, channel) in absent for t in frames):
            raise VendorFileError(
                f"{planned.field}: channel {name!r} is missing in all {len(frames)} frames, other fields have it. Copy "
                "the files, or import the wells without this channel as a plate of their own."
            )
    if len(planned.missing_frames) == len(frames):
        raise VendorFileError(f"{planned.field}: every frame lacks a channel, so no frame could be used.")
    if allow_missing:
        return
    spoken = [
        f"frame {t}{f' ({timeline.spoken(t)})' if timeline else ''} channel {names[c]!r}"
        for t, c in absent[:_SHOWN]
    ]
    more = f" and {len(absent) - _SHOWN} more" if len(absent) > _SHOWN else ""
    raise VendorFileError(
        f"{planned.field}: no file for {', '.join(spoken)}{more}. Copy the missing files, or give --allow-missing: "
        "the frames are then recorded as missing and no cell is judged by them."
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
