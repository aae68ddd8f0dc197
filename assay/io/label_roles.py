"""Which role a label image shows, from the words in its name, and nothing but its name."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from assay.errors import ImageError
from assay.labels import CELL_ROLES, CellRole

FOLDERS: Mapping[CellRole, str] = {"effector": "effectors", "target": "targets"}
OPTIONS: Mapping[CellRole, str] = {"effector": "--labels-effectors", "target": "--labels-targets"}
ALL = "*"
"""Given for a role: every label image there is shows this role."""

_WORDS: Mapping[CellRole, frozenset[str]] = {
    "effector": frozenset(
        {
            "effector",
            "effectors",
            "tcell",
            "tcells",
            "t_cell",
            "t_cells",
            "cart",
            "carts",
            "car_t",
            "car_ts",
            "nk",
        }
        | {"nks", "nkcell", "nkcells", "nk_cell", "nk_cells", "immune", "immune_cell", "immune_cells"}
        | {"lymphocyte", "lymphocytes"}
    ),
    "target": frozenset(
        {
            "target",
            "targets",
            "tumor",
            "tumors",
            "tumor_cell",
            "tumor_cells",
            "tumour",
            "tumours",
            "tumour_cell",
        }
        | {"tumour_cells", "cancer", "cancers", "cancer_cell", "cancer_cells"}
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleWords:
    """What a name may say for a role: what was given by hand, else common words and the role's own channels."""

    given: Mapping[CellRole, str] = field(default_factory=dict)
    channels: Mapping[CellRole, Sequence[str]] = field(default_factory=dict)

    @property
    def asked(self) -> tuple[CellRole, ...]:
        """Roles that may come from these labels."""
        return tuple(role for role in CELL_ROLES if role in self.given) or CELL_ROLES

    def words_of(self, role: CellRole) -> frozenset[str]:
        """Words that mean the role, in the form of `plain_words`."""
        if self.given:
            return frozenset({plain_words(self.given[role])} if role in self.given else ())
        return _WORDS[role] | {plain_words(name) for name in self.channels.get(role, ())}

    def find(self, name: str) -> tuple[CellRole, str] | None:
        """The role that a name speaks of and the word that says so; None where it says nothing.

        Raises:
            ImageError: The name speaks of both roles.
        """
        everything = next((role for role in self.given if self.given[role].strip() == ALL), None)
        if everything is not None and len(self.given) == 1:
            return everything, ""
        text = f"_{plain_words(name)}_"
        found: dict[CellRole, str] = {}
        for role in self.asked:
            hits = [word for word in self.words_of(role) if word and word_in(word, text)]
            if hits:
                found[role] = max(hits, key=lambda word: (len(word), word))
        if len(found) == 2:
            raise ImageError(
                f"the name {name!r} speaks of effectors ({found['effector']}) and of targets ({found['target']}). "
                "Say which labels are which with --labels-effectors NAME and --labels-targets NAME."
            )
        return next(iter(found.items()), None)


def word_in(word: str, text: str) -> re.Match[str] | None:
    """Where a word stands in a text of `plain_words` with "_" around it; a number may follow at once."""
    return re.search(rf"(?<=_){re.escape(word)}(?=_|\d)", text)


def plain_words(text: str) -> str:
    """Lower case, with one "_" between words."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
