"""What the channels are called: by hand, by the file names or by the files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from assay.errors import VendorFileError
from assay.io.importers.file_names import natural_key


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelChoice:
    """What was given with --channels: names in order, or a new name for each name as written."""

    names: tuple[str, ...] | None = None
    renames: Mapping[str, str] | None = None

    @classmethod
    def parse(cls, channels: Sequence[str] | None) -> Self:
        """Tell "GFP", "PI" from "1=GFP", "2=PI".

        Raises:
            VendorFileError: A name is empty or doubled, or the two forms are mixed.
        """
        if channels is None:
            return cls()
        pairs = [text.partition("=") for text in channels]
        wanted = [(right if sign else left).strip() for left, sign, right in pairs]
        signs = {sign for _, sign, _ in pairs}
        if not channels or not all(wanted) or len(set(wanted)) < len(wanted) or len(signs) > 1:
            raise VendorFileError(
                f"--channels {','.join(channels)} is not understood. Expected different names in the order of the planes, "
                "e.g. GFP,PI, or the name as written = the name wanted for each, e.g. 1=GFP,2=PI."
            )
        if signs == {"="}:
            return cls(renames=dict(zip([left.strip() for left, _, _ in pairs], wanted, strict=True)))
        return cls(names=tuple(wanted))

    def renamed(self, written: str) -> str:
        """The wanted name of a channel that a file name tells."""
        return written if self.renames is None else self.renames.get(written, written)

    def of_planes(self, file: str, said: Sequence[str | None]) -> tuple[str, ...]:
        """Names of the channels in one file, in the order of its planes.

        Raises:
            VendorFileError: Neither the file nor anybody names them, or the numbers differ.
        """
        if self.names is not None:
            if len(self.names) != len(said):
                raise VendorFileError(
                    f"{file} has {len(said)} channels, --channels names {len(self.names)} ({', '.join(self.names)})."
                )
            return self.names
        named = tuple(self.renamed(name) for name in said if name)
        if len(named) < len(said):
            have = "channel has no name" if len(said) == 1 else f"{len(said)} channels have no names"
            example = ",".join(("GFP", "PI", "brightfield", "CTDR", "DAPI")[: len(said)])
            raise VendorFileError(
                f"{file}: its {have} in the file. Give --channels with the names in the order of the planes, "
                f"e.g. --channels {example}."
            )
        if len(set(named)) < len(named):
            raise VendorFileError(
                f"{file}: two channels are called alike ({', '.join(named)}). Name them with --channels."
            )
        return named


def choose_channels(
    seen: Sequence[tuple[str, tuple[str, ...]]], by_name: bool, choice: ChannelChoice
) -> tuple[str, ...]:
    """The channels of the plate, in order.

    Args:
        seen: (file name, its channels) of every image.
        by_name: The file names tell the channels, one a file; else every file must have them all.
        choice: What was given by hand.

    Raises:
        VendorFileError: Files differ in channels, or the names given by hand are not those found.
    """
    first_file, first = seen[0]
    if not by_name:
        for file, channels in seen:
            if channels != first:
                raise VendorFileError(
                    f"{first_file} has the channels {', '.join(first)}; {file} has {', '.join(channels)}. Expected the "
                    "same in a plate: import them as two plates, e.g. with a wells list each."
                )
        return first
    found = sorted({name for _, channels in seen for name in channels}, key=natural_key)
    if choice.renames is not None and set(choice.renames.values()) - set(found):
        unknown = next(old for old, new in choice.renames.items() if new not in found)
        raise VendorFileError(
            f"--channels: no file name has the channel {unknown!r}; they have {', '.join(found)}."
        )
    if choice.names is None:
        return tuple(found)
    if set(choice.names) != set(found):
        raise VendorFileError(
            f"--channels {','.join(choice.names)}: the file names have {', '.join(found)}. Give the same names in the order "
            f"wanted, or rename them, e.g. --channels {','.join(f'{name}=NEW{i + 1}' for i, name in enumerate(found))}."
        )
    return choice.names
