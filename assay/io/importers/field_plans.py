"""One field's planes put in order: what stands where, what is missing, how large a pixel and a frame are."""

from collections.abc import Sequence
from dataclasses import dataclass

from assay.errors import CalibrationError, ImageError, VendorFileError
from assay.io.importers.file_names import NamedFile
from assay.io.importers.plans import FieldPlan
from assay.io.importers.tiff_images import TiffImage
from assay.io.importers.tiff_pages import PlaneSource
from assay.io.importers.timeline import Timeline
from assay.stack import FieldId
from assay.units import Calibration

_SHOWN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One image of one file, and the field and time point it belongs to."""

    file: NamedFile
    image: TiffImage
    field: FieldId
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Calibration given by hand or by the protocol; it comes before what the files say."""

    pixel_um: tuple[float, float] | None
    frame_min: float | None


def plan_field(
    field: FieldId, pieces: Sequence[Piece], names: tuple[str, ...], timeline: Timeline | None, given: Given
) -> tuple[FieldPlan, list[str]]:
    """Give each plane of a field its frame and channel.

    Returns:
        The plan, and what a person should know.

    Raises:
        VendorFileError: A plane stands in two files.
        ImageError: The images differ in size or type.
        CalibrationError: Pixel size or frame interval is not known.
    """
    planes: dict[tuple[int, int], PlaneSource] = {}
    owner: dict[tuple[int, int], str] = {}
    for piece in pieces:
        _require_alike(field, pieces[0], piece)
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
    warnings: list[str] = []
    pixel_um = _pixel_um(field, pieces, given, warnings)
    frame_min = _frame_min(field, pieces, n_frames, timeline, given, warnings)
    try:
        calibration = Calibration(pixel_um=pixel_um, frame_min=frame_min)
    except CalibrationError as error:
        raise CalibrationError(f"{field}, {pieces[0].file.name}: {error}") from error
    shape = (n_frames, len(names), *pieces[0].image.shape)
    files = tuple({piece.file.name: piece.file.path for piece in pieces}.items())
    return FieldPlan(field=field, shape=shape, calibration=calibration, planes=planes, files=files), warnings


def _require_alike(field: FieldId, first: Piece, piece: Piece) -> None:
    if piece.image.shape != first.image.shape or piece.image.dtype != first.image.dtype:
        raise ImageError(
            f"{field}: {first.file.name} is {first.image.shape} {first.image.dtype}, {piece.file.name} is "
            f"{piece.image.shape} {piece.image.dtype}. Expected one size (y, x) and one type within a field."
        )


def _pixel_um(
    field: FieldId, pieces: Sequence[Piece], given: Given, warnings: list[str]
) -> tuple[float, float]:
    said = [(piece.image.pixel_um, piece.file.name) for piece in pieces if piece.image.pixel_um is not None]
    if given.pixel_um is not None:
        if said and not _close(said[0][0], given.pixel_um):
            warnings.append(
                f"{field}: pixel size {said[0][0]} um in the files was overruled by {given.pixel_um} um."
            )
        return given.pixel_um
    if not said:
        raise CalibrationError(
            f"{field}: {pieces[0].file.name} has no pixel size, so distances in um cannot be measured. Give "
            "--pixel-um Y,X, e.g. --pixel-um 0.65,0.65, or pixel_um under [calibration] in the protocol."
        )
    for size, name in said:
        if not _close(said[0][0], size):
            raise CalibrationError(
                f"{field}: pixel size (y, x) is {said[0][0]} um in {said[0][1]} and {size} um in {name}. Expected one "
                "in a field; give the true one with --pixel-um."
            )
    return said[0][0]


def _frame_min(
    field: FieldId,
    pieces: Sequence[Piece],
    n_frames: int,
    timeline: Timeline | None,
    given: Given,
    warnings: list[str],
) -> float | None:
    first = pieces[0]
    said = timeline.frame_min if timeline is not None else first.image.frame_min
    if given.frame_min is not None:
        if said is not None and abs(said - given.frame_min) > 1e-6 * said:
            warnings.append(
                f"{field}: frame interval {said:g} min of the files was overruled by {given.frame_min:g} min."
            )
        return given.frame_min
    if n_frames > 1 and said is None:
        note = f"; {first.image.frame_note}" if first.image.frame_note else ""
        raise CalibrationError(
            f"{field}: {first.file.name} does not say how long a frame interval is ({n_frames} frames{note}). Give "
            "--frame-min, e.g. --frame-min 4, or frame_min under [calibration] in the protocol."
        )
    return said


def _close(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return all(abs(a - b) <= 1e-4 * max(a, b) for a, b in zip(one, other, strict=True))


def check_missing(
    planned: FieldPlan, names: tuple[str, ...], timeline: Timeline | None, allow_missing: bool
) -> None:
    """Refuse a series with holes, by name, unless holes were allowed.

    Raises:
        VendorFileError: Planes are missing.
    """
    frames = range(planned.shape[0])
    absent = [(t, c) for t in frames for c in range(len(names)) if (t, c) not in planned.planes]
    if not absent:
        return
    for channel, name in enumerate(names):
        if all((t, channel) not in planned.planes for t in frames):
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
