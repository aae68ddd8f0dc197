"""Hands and eyes: killassay's results in napari. Imports `assay`, never torch."""
