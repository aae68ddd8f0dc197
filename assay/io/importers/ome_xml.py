"""What the OME-XML of an OME-TIFF says: sizes, where each plane lies, calibration, channels, wells.

Knows the schema, reads no files. Written for hostile XML too: no entities, bounded length and depth, and never
a list as long as a number in the XML says.
"""

import itertools
import statistics
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, field

from assay.errors import ImageError
from assay.io.importers.metadata_units import length_um, time_min
from assay.stack import well_name

MAX_XML_CHARS = 64 << 20
MAX_DEPTH = 64
MAX_KEPT = 300_000  # Image, Channel, TiffData, Plane: what is kept of each
_KEPT = frozenset({"Image", "Channel", "TiffData", "UUID", "Plane", "Well", "WellSample"})
_PIECE = 1 << 20


@dataclass(slots=True, kw_only=True)
class OmeImage:
    """One Image element."""

    identity: str
    name: str
    pixels: dict[str, str] = field(default_factory=dict)  # attributes of Pixels
    channels: list[dict[str, str]] = field(default_factory=list)
    tiff_data: list[dict[str, str]] = field(default_factory=list)
    file_names: set[str] = field(default_factory=set)
    delta_t: dict[int, float] = field(default_factory=dict)  # frame -> minutes, of the first channel
    well: str | None = None
    well_field: int | None = None

    def size(self, axis: str) -> int:
        """SizeT, SizeC or SizeZ."""
        text = self.pixels.get(f"Size{axis}", "1")
        if not text.strip().isdecimal() or len(text) > 18 or int(text) < 1:
            raise ImageError(
                f"OME-XML of image {self.name!r}: Size{axis} = {text!r:.80}, expected a number of 1 or more."
            )
        return int(text)

    @property
    def declared_planes(self) -> int:
        """Planes the XML says there are."""
        return self.size("T") * self.size("C") * self.size("Z")

    @property
    def pixel_um(self) -> tuple[float, float] | None:
        """(y, x) in um; None where it is not given in a unit of length."""
        y, x = (
            length_um(
                self.pixels.get(f"PhysicalSize{axis}"), self.pixels.get(f"PhysicalSize{axis}Unit", "µm")
            )
            for axis in "YX"
        )
        return None if y is None or x is None else (y, x)

    @property
    def channel_names(self) -> tuple[str | None, ...]:
        """One a channel; None where it has no name."""
        names = [channel.get("Name", "").strip() or None for channel in self.channels]
        return tuple(names + [None] * (self.size("C") - len(names)))

    def frame_min(self) -> tuple[float | None, str]:
        """Frame interval from TimeIncrement, else from the times of the planes; and why there is none.

        Times that are not evenly spaced give no interval.
        """
        stated = time_min(self.pixels.get("TimeIncrement"), self.pixels.get("TimeIncrementUnit", "s"))
        if stated is not None or len(self.delta_t) < max(2, self.size("T")):
            return stated, ""
        times = [self.delta_t[frame] for frame in sorted(self.delta_t)]
        steps = [after - before for before, after in itertools.pairwise(times)]
        middle = statistics.median(steps)
        if middle <= 0 or max(abs(step - middle) for step in steps) > 0.1 * middle:
            return None, f"its planes are {min(steps):g} to {max(steps):g} min apart, not evenly spaced"
        return float(f"{middle:.6g}"), ""

    def plane_pages(self, first_page: int) -> dict[tuple[int, int, int], int]:
        """(t, c, z) -> number of the page; call it only once the declared planes are known to be there."""
        axes = self.pixels.get("DimensionOrder", "XYCZT")[2:]
        sizes = {axis: self.size(axis) for axis in "TCZ"}
        if sorted(axes) != ["C", "T", "Z"]:
            raise ImageError(f"OME-XML of image {self.name!r}: DimensionOrder {axes!r} is not understood.")
        blocks = self.tiff_data or [{"IFD": str(first_page), "PlaneCount": str(self.declared_planes)}]
        pages: dict[tuple[int, int, int], int] = {}
        for block in blocks:
            start, stride = 0, 1
            for axis in axes:
                start += stride * int(block.get(f"First{axis}", "0"))
                stride *= sizes[axis]
            page = int(block.get("IFD", "0"))
            count = int(block.get("PlaneCount", "1" if "IFD" in block else str(self.declared_planes)))
            for step in range(min(count, self.declared_planes - start)):
                index, at = start + step, {}
                for axis in axes:
                    index, at[axis] = divmod(index, sizes[axis])
                pages[at["T"], at["C"], at["Z"]] = page + step
        return pages


def parse_ome_xml(text: str, where: str) -> list[OmeImage]:
    """Read the Image elements, with the wells of the Plate element where there is one.

    Raises:
        ImageError: The XML is broken, unreasonably large or deep, or defines entities.
    """
    if len(text) > MAX_XML_CHARS or "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ImageError(
            f"{where}: the OME-XML is over {MAX_XML_CHARS} characters or defines entities. Export again."
        )
    collector = _Collector()
    parser = ET.XMLParser(target=collector)
    try:
        for at in range(0, len(text), _PIECE):
            parser.feed(text[at : at + _PIECE])
        parser.close()
    except (ET.ParseError, ValueError, OverflowError) as error:
        raise ImageError(f"{where}: the OME-XML cannot be read ({error}). Export the file again.") from error
    for image in collector.images:
        place = collector.wells.get(image.identity)
        if place is not None:
            image.well, image.well_field = place
    if not collector.images:
        raise ImageError(f"{where}: the OME-XML describes no image. Export the file again.")
    return collector.images


class _Collector:
    """Keeps what is needed of the XML as it streams by."""

    def __init__(self) -> None:
        self.images: list[OmeImage] = []
        self.wells: dict[str, tuple[str, int]] = {}
        self._kept: dict[str, int] = {}
        self._depth = 0
        self._well: str | None = None
        self._samples = 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ValueError(f"elements lie more than {MAX_DEPTH} deep")
        name = tag.rpartition("}")[2]
        self._count(name)
        if name == "Image":
            self.images.append(OmeImage(identity=attributes.get("ID", ""), name=attributes.get("Name", "")))
        elif name == "Well":
            row, column = int(attributes.get("Row", "0")), int(attributes.get("Column", "0"))
            letters = chr(65 + row) if row < 26 else chr(64 + row // 26) + chr(65 + row % 26)
            self._well, self._samples = well_name(f"{letters}{column + 1}"), 0
        elif name == "WellSample":
            self._samples += 1
        elif name == "ImageRef" and self._well is not None:
            self.wells[attributes.get("ID", "")] = (self._well, self._samples - 1)
        elif self.images:
            self._of_image(name, attributes, self.images[-1])

    def _count(self, name: str) -> None:
        if name in _KEPT:
            self._kept[name] = self._kept.get(name, 0) + 1
            if self._kept[name] > MAX_KEPT:
                raise ValueError(f"more than {MAX_KEPT} elements {name}")

    def _of_image(self, name: str, attributes: Mapping[str, str], image: OmeImage) -> None:
        if name == "Pixels":
            image.pixels = dict(attributes)
        elif name == "Channel":
            image.channels.append(dict(attributes))
        elif name == "TiffData":
            image.tiff_data.append(dict(attributes))
        elif name == "UUID" and attributes.get("FileName"):
            image.file_names.add(attributes["FileName"])
        elif name == "Plane" and attributes.get("TheC") == "0" and attributes.get("TheZ") == "0":
            unit = attributes.get("DeltaTUnit", "s")
            # a shift by one unit: `time_min` takes positive times only, and the first plane's may be 0
            shifted = time_min(float(attributes["DeltaT"]) + 1, unit) if "DeltaT" in attributes else None
            if shifted is not None:
                image.delta_t[int(attributes.get("TheT", "0"))] = shifted

    def end(self, tag: str) -> None:
        self._depth -= 1
        if tag.rpartition("}")[2] == "Well":
            self._well = None

    def close(self) -> None:
        return None
