"""OME-Zarr plates, images and label images: the names that the rest of the product uses.

from assay.io.ome_zarr import LabelPlate, PlateWriter, open_plate

plate = open_plate(path)                       # 0.4 or 0.5, plate or single image; see plate_reader
stack = plate.stack(plate.fields[0])
images = stack.read([0, 1, 2])                 # (3, C, Y, X)

with PlateWriter.create(...) as writer:        # see plate_writer
    writer.write(field, 0, frames)

labels = LabelPlate.create(...)                # see label_plate
"""

from assay.io.image_info import ImageInfo
from assay.io.label_plate import LabelPlate
from assay.io.plate_reader import MissingChunks, Plate, PlateStack, open_plate
from assay.io.plate_writer import PlateWriter

__all__ = ["ImageInfo", "LabelPlate", "MissingChunks", "Plate", "PlateStack", "PlateWriter", "open_plate"]
