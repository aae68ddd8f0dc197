"""killassay: who touched whom, who died and when, which effector did it, and how sure that is.

The science of the product; see docs/house.md for the rooms and which may import which.
"""

from assay._version import __version__

__all__ = ["__version__"]
