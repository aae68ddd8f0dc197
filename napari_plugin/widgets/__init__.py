"""Qt widgets of the review; the only importer of qtpy."""
