"""File names of label images -> well, field, role and frame.

Programs put their own words around a picture's name ("B02_f0_t003_GFP_cp_masks.tif", "LblImg_B02.tif"); these and
the role's are taken off, folders are read as part of the name, and one pattern must do for all files.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.errors import ImageError, VendorFileError
from assay.io.importers.file_names import PRESETS, NamedFile, examples, name_files
from assay.io.label_roles import RoleWords, plain_words, word_in
from assay.labels import CellRole
from assay.stack import well_name

_NOISE = re.compile(
    r"_(cp_masks|lblimg|labels?|labell?ed|masks?|man_track|man_seg|seg|segmentation|segmented|objects?|identities"
    r"|object_identities|tracking_result|tracked|tracks|outlines|stardist|cellpose|res|ome)(?=_|\d)"
)
_WELL = r"(?P<well>(?:[a-p]|a[a-f])\d{1,2})"
_FIELD = r"(?:field|site|pos|[fsp])?_?(?P<field>\d+)"
_FRAME = r"(?:time|frame|t)?_?(?P<frame>\d+)"
_LABEL_PATTERNS = {
    "well, field, time": rf"(?:.*?_)??{_WELL}_(?P<field>\d+)_(?P<day>\d+)d(?P<hour>\d+)h(?P<minute>\d+)m",
    "well, field, frame": rf"(?:.*?_)??{_WELL}_{_FIELD}_{_FRAME}",
    "well, frame": rf"(?:.*?_)??{_WELL}_(?:time|frame|t)_?(?P<frame>\d+)",
    "well, field": rf"(?:.*?_)??{_WELL}_{_FIELD}",
    "well": rf"(?:.*?_)??{_WELL}",
    "frame": rf"(?:.*?_)??{_FRAME}",
    "one film": r".*",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelFile:
    """One file of label images and what its name says; None for what it does not say."""

    path: Path
    name: str
    role: CellRole
    word: str  # that told the role
    well: str | None
    field: int | None
    index: int | None
    minutes: int | None

    @property
    def timed(self) -> bool:
        """Whether the file is one frame by its name."""
        return self.index is not None or self.minutes is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelNames:
    """The files that take part, how their names were read, and what was left out."""

    files: tuple[LabelFile, ...]
    read_as: str
    ignored: tuple[tuple[str, str], ...]


def name_labels(
    images: Sequence[tuple[str, Path]], words: RoleWords, *, pattern: str | None, folder: str
) -> LabelNames:
    """Read every name.

    Args:
        images: (name below the source folder, path).
        words: What tells a role.
        pattern: Given by hand, with named groups as for `import`; the group channel (or role) is the role's word.
        folder: The source folder's own name, which may tell the role where no file does.

    Raises:
        ImageError: No file's name tells its role.
        VendorFileError: The pattern is wrong or fits no file.
    """
    if pattern is not None:
        return _by_pattern(images, words, pattern, folder)
    told = {name: _role(words, name) for name, _ in images}
    by_folder = words.find(folder) if not any(told.values()) else None
    cores: list[tuple[str, Path, str, tuple[CellRole, str]]] = []
    ignored: list[tuple[str, str]] = []
    for name, path in images:
        role = told[name] or by_folder
        if role is None:
            ignored.append((name, "its name speaks of no role that was asked for"))
        else:
            cores.append((name, path, _core(name, role[1]), role))
    if not cores:
        raise ImageError(
            f"no file name says whether its labels are effectors or targets; names are e.g. "
            f"{examples([name for name, _ in images])}. Put them into folders effectors/ and targets/, or say it: "
            "--labels-targets WORD (a word of the name, or '*' for all files)."
        )
    fits = {
        key: sum(re.fullmatch(text, core) is not None for _, _, core, _ in cores)
        for key, text in _LABEL_PATTERNS.items()
    }
    best = max(fits, key=lambda key: fits[key] if key != "one film" else 0.5)
    files = []
    for name, path, core, (role_name, word) in cores:
        match = re.fullmatch(_LABEL_PATTERNS[best], core)
        if match is None:
            ignored.append((name, f"its name does not tell {best}, as the others do"))
        else:
            files.append(_labelled(name, path, match, role_name, word))
    return LabelNames(files=tuple(files), read_as=f"TIFF files, names read as {best}", ignored=tuple(ignored))


def _by_pattern(
    images: Sequence[tuple[str, Path]], words: RoleWords, pattern: str, folder: str
) -> LabelNames:
    text = PRESETS.get(pattern, pattern).replace("(?P<role>", "(?P<channel>")
    named = name_files(images, pattern=text)
    files: list[LabelFile] = []
    ignored = list(named.ignored)
    for file in named.files:
        role = words.find(file.channel) if file.channel is not None else _role(words, file.name)
        role = role or words.find(folder)
        if role is None:
            ignored.append((file.name, "its name speaks of no role that was asked for"))
            continue
        files.append(_of_named(file, *role))
    if not files:
        raise ImageError(
            f"the pattern {pattern} fits {len(named.files)} files, but none says whether its labels are effectors or "
            f"targets, e.g. {examples([file.name for file in named.files])}. Name a group (?P<role>...) in it, or say "
            "--labels-effectors WORD or --labels-targets WORD ('*' for all files)."
        )
    return LabelNames(files=tuple(files), read_as="TIFF files, by the pattern given", ignored=tuple(ignored))


def _role(words: RoleWords, name: str) -> tuple[CellRole, str] | None:
    """By the file's own name, else by its folders."""
    above, _, own = name.rpartition("/")
    stem = re.sub(r"(\.ome)?\.tiff?$", "", own, flags=re.IGNORECASE)
    return words.find(stem) or (words.find(above) if above else None)


def _core(name: str, word: str) -> str:
    """What of the name is left for well, field and frame."""
    text = f"_{plain_words(re.sub(r'[.]tiff?$', '', name, flags=re.IGNORECASE))}_"
    at = word_in(word, text) if word else None
    if at is not None:
        text = f"{text[: at.start()]}_{text[at.end() :]}"
    return re.sub(r"_+", "_", _NOISE.sub("_", text)).strip("_")


def _labelled(name: str, path: Path, match: re.Match[str], role: CellRole, word: str) -> LabelFile:
    parts = {key: value for key, value in match.groupdict().items() if value is not None}
    minutes = None
    if "day" in parts:
        minutes = int(parts["day"]) * 1440 + int(parts["hour"]) * 60 + int(parts["minute"])
    try:
        well = well_name(parts["well"]) if "well" in parts else None
    except ImageError as error:
        raise VendorFileError(f"{name}: {error} Give --labels-pattern.") from error
    return LabelFile(
        path=path,
        name=name,
        role=role,
        word=word,
        well=well,
        field=int(parts["field"]) if "field" in parts else None,
        index=int(parts["frame"]) if "frame" in parts else None,
        minutes=minutes,
    )


def _of_named(file: NamedFile, role: CellRole, word: str) -> LabelFile:
    return LabelFile(
        path=file.path,
        name=file.name,
        role=role,
        word=word,
        well=file.well,
        field=file.field,
        index=file.index,
        minutes=file.minutes,
    )
