"""What napari shows of one field: the raw channels, and the labels of both roles as tracks' colours.

Knows RESULTS and the plate they came from. Knows no window: each layer is (data, options, kind). Opening reads no
pixel; a frame is read when it is shown.

    images = Images.open(results)
    show_field(viewer, images, images.fields[0])
    strip = images.of(field).crop(range(10, 35), slice(100, 228), slice(40, 168))      # (t, C, y, x)
    images.close()
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from assay.brightness import Brightness
from assay.errors import ImageError, ResultsError
from assay.io.display import WINDOW_FIELDS, spread
from assay.io.ome_zarr import LabelPlate, Plate, open_plate
from assay.io.results import Results
from assay.labels import ChannelRole, is_large
from assay.pipeline.work_files import read_brightness, work_file
from assay.protocol import Protocol
from assay.stack import FieldId
from assay.units import Calibration
from napari_plugin.films import FieldImages, label_films, preview_films, raw_films
from napari_plugin.lazy import FrameStore

LayerData = tuple[Any, dict[str, Any], str]
Limits = tuple[float, float]

_COLORMAPS: dict[ChannelRole, str] = {
    "effector": "yellow",
    "target": "red",
    "nuclei": "bop blue",
    "death": "cyan",
    "brightfield": "gray",
}
_OTHER_COLORMAPS = ("green", "magenta", "bop orange", "bop purple")
_LABELS_OPACITY = 0.4


class Images:
    """The images of one RESULTS folder, or of a plate alone; opened once per viewer, so that wells change quickly."""

    def __init__(
        self,
        *,
        results: Results | None,
        labels: LabelPlate | None,
        plate: Plate | None,
        protocol: Protocol | None,
        fields: tuple[FieldId, ...],
        store: FrameStore | None = None,
    ) -> None:
        self.results, self.labels, self.plate, self.protocol = results, labels, plate, protocol
        self.fields = fields
        self.store = store or FrameStore()
        self._opened: dict[FieldId, FieldImages] = {}
        self._limits: dict[int, Limits] | None = None

    @classmethod
    def open(cls, path: Path, *, store: FrameStore | None = None) -> Self:
        """Open RESULTS; reads metadata only.

        Raises:
            ResultsError: It is no RESULTS folder, or nothing was segmented yet.
            ImageError: The plate of the raw images is there and damaged.
        """
        results = Results.open(path)
        plate = Path(results.plate_path)
        return cls(
            results=results,
            labels=LabelPlate.open(results.labels) if results.labels.is_dir() else None,
            plate=open_plate(plate) if results.plate_path and plate.is_dir() else None,
            protocol=results.read_protocol(),
            fields=fields_of(path),
            store=store,
        )

    @classmethod
    def of_plate(cls, path: Path, *, store: FrameStore | None = None) -> Self:
        """Open a plate that was not analysed: channels only.

        Raises:
            ImageError: It is no OME-Zarr plate or image.
        """
        plate = open_plate(path)
        return cls(results=None, labels=None, plate=plate, protocol=None, fields=plate.fields, store=store)

    def of(self, field: FieldId) -> FieldImages:
        """The films of one field; reads its metadata the first time.

        Raises:
            AssayError: The field is not there, or its images are damaged.
        """
        if field not in self._opened:
            self._opened[field] = self._open(field)
        return self._opened[field]

    def close(self) -> None:
        """Stop reading ahead and let go of the memory."""
        self.store.close()
        self._opened.clear()

    def _open(self, field: FieldId) -> FieldImages:
        if self.plate is not None:
            raw = raw_films(self.plate, field, protocol=self.protocol, store=self.store)
        elif self.labels is not None:
            raw = preview_films(self.labels, field, protocol=self.protocol, store=self.store)
        else:
            raise ResultsError(f"{field}: there are neither raw images nor labels.")
        if is_large(raw.shape):
            raise ImageError(
                f"{field}: its frames of {raw.shape[1]} x {raw.shape[2]} pixels are too large to be shown here, where whole "
                "frames are held. See the report and `killassay export --format video`; labels.zarr opens in any viewer that "
                "reads OME-Zarr in parts."
            )
        labels = label_films(self.labels, field, store=self.store) if self.labels is not None else {}
        limits = self._channel_limits()
        channels = tuple(
            channel.showing(limits[channel.index]) if channel.index in limits else channel
            for channel in raw.channels
        )
        return FieldImages(
            field=field,
            calibration=raw.calibration,
            shape=raw.shape,
            channels=channels,
            labels=labels,
            read_window=raw.read_window,
            read_labels=None if self.labels is None else self.labels.read,
        )

    def _channel_limits(self) -> dict[int, Limits]:
        """Channel number -> what to display, the same in every well, so that wells can be compared by eye.

        From the brightness that the run measured; empty where it is gone.
        """
        if self._limits is None:
            self._limits = {}
            if self.results is not None and self.plate is not None and self.protocol is not None:
                measured = [
                    read_brightness(file)
                    for field in spread(self.fields, WINDOW_FIELDS)
                    if (file := work_file(self.results.path, "brightness", field)).is_file()
                ]
                if measured:
                    self._limits = self._limits_of(measured)
        return self._limits

    def _limits_of(self, measured: Sequence[Brightness]) -> dict[int, Limits]:
        assert self.plate is not None and self.protocol is not None
        names = self.plate.stack(self.fields[0], calibration=self.protocol.calibration).channel_names
        light = {names.index(name) for name in self.protocol.channels.get("brightfield", ()) if name in names}
        limits: dict[int, Limits] = {}
        for channel in range(len(names)):
            if channel in light:
                middle = float(np.median([one.median[channel] for one in measured]))
                reach = float(max(one.spread[channel] for one in measured))
                limits[channel] = (middle - 0.75 * reach, middle + 0.75 * reach)
            else:
                low = float(np.median([one.background[channel] for one in measured]))
                limits[channel] = (low, low + float(max(one.span[channel] for one in measured)))
        return limits


def fields_of(results: Path) -> tuple[FieldId, ...]:
    """The fields whose labels RESULTS hold, those that were not run or failed left out.

    Raises:
        ResultsError: It is no RESULTS folder, or nothing was segmented yet.
    """
    opened = Results.open(results)
    written = {record.unit.rpartition("_")[0] for record in opened.ledger.records("labels")}
    if not written or not opened.labels.is_dir():
        raise ResultsError(f"{results} has no labels yet. Run `killassay run` first.")
    return tuple(
        field for field in LabelPlate.open(opened.labels).fields if f"{field.well}_{field.field}" in written
    )


def layer_options(calibration: Calibration) -> dict[str, Any]:
    """What every layer over a field's film shares: data in frames and pixels, the world in minutes and um."""
    timed = calibration.frame_min is not None
    return {
        "scale": (calibration.frame_min if timed else 1.0, *calibration.pixel_um),
        "units": ("min" if timed else "pixel", "um", "um"),
        "axis_labels": ("t", "y", "x"),
    }


def layers_of(images: Images, field: FieldId) -> list[LayerData]:
    """The layers of one field; raw channels where the plate is still in its place, else the small preview.

    A frame that was never recorded shows as black.
    """
    opened = images.of(field)
    shared = layer_options(opened.calibration)
    others = iter(_OTHER_COLORMAPS * len(opened.channels))
    layers: list[LayerData] = []
    for channel in opened.channels:
        options = {
            **shared,
            "name": channel.name,
            "scale": (shared["scale"][0], *(size * channel.shrink for size in opened.calibration.pixel_um)),
            "translate": (0.0, *((channel.shrink - 1) / 2 * size for size in opened.calibration.pixel_um)),
            "colormap": _COLORMAPS[channel.role] if channel.role else next(others),
            "blending": "additive",
            "contrast_limits": channel.limits,
            "metadata": _note(field, channel=channel.name),
        }
        layers.append((channel.film, options, "image"))
    for role, film in opened.labels.items():
        named = {"name": f"{role}s", "opacity": _LABELS_OPACITY, "metadata": _note(field, role=role)}
        layers.append((film, {**shared, **named}, "labels"))
    return layers


def show_field(viewer: Any, images: Images, field: FieldId) -> dict[str, Any]:
    """Show a field in a viewer: in the layers that are there already, so that colours and contrast stay as they were.

    Args:
        viewer: napari's Viewer or ViewerModel.
        images: Of the RESULTS or plate.
        field: Which one.

    Returns:
        Name -> layer.

    Raises:
        AssayError: The field is not there, or its images are damaged; then the viewer is as it was.
    """
    wanted = layers_of(images, field)
    there = {layer.name: layer for layer in viewer.layers if _is_film(layer)}
    shown: dict[str, Any] = {}
    for film, options, kind in wanted:
        layer = there.pop(options["name"], None)
        if layer is None:
            layer = getattr(viewer, f"add_{kind}")(film, **options)
        else:
            layer.metadata = options["metadata"]
            if not np.allclose(layer.scale, options["scale"]):  # napari works everything out anew
                with layer.events.set_data.blocker():
                    layer.scale = options["scale"]
            layer.data = film
        shown[layer.name] = layer
    for layer in there.values():
        viewer.layers.remove(layer)
    return shown


def _note(field: FieldId, **what: str) -> dict[str, Any]:
    """How a layer is known as ours again."""
    return {"killassay": {"well": field.well, "field": field.field, "film": True, **what}}


def _is_film(layer: Any) -> bool:
    return bool(layer.metadata.get("killassay", {}).get("film"))
