"""What a column of a result table is: its name, its type, and what a biologist should read into it."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Table = dict[str, NDArray[Any]]
Kind = Literal["text", "int", "float", "bool"]

_DTYPES: dict[Kind, Any] = {"text": object, "int": np.int64, "float": np.float64, "bool": np.bool_}


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name carries the unit."""

    name: str
    kind: Kind
    meaning: str
    nullable: bool = False
    later: bool = False  # tables written before it was declared lack it: there it is unknown

    @property
    def dtype(self) -> Any:
        """Type of the numpy array in memory."""
        return np.float64 if self.kind == "int" and self.nullable else _DTYPES[self.kind]
