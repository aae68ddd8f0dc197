"""Disk: OME-Zarr plates, tables, and the RESULTS folder. The only home of zarr."""
