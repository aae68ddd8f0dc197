"""The RESULTS folder: where everything of a run lies, who works in it, and which plate it belongs to.

Files only; knows no images.

    results = Results.create_or_open(out, plate_name=plate.name, plate_identity=plate.identity())
    with results.lock():                       # one run at a time
        if not results.ledger.is_done("link", "B02_0", key):
            file = write_table(results.tables, "tracks", tracks)
            results.ledger.commit("link", "B02_0", key, [file])
        results.write_protocol(protocol.to_toml())
        results.write_provenance({...})
    results = Results.open(out)                # for status, report, review
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from assay.errors import ResultsError
from assay.io.durable import disk_refusals, require_free_space, write_whole
from assay.io.ledger import Ledger
from assay.io.lock import living_locks, release_lock, require_no_links_out, take_lock
from assay.io.witness import FILES, MARK, UNSEALED_FORMAT, ledger_of, require_as_written
from assay.protocol import Protocol, read_protocol
from assay.redaction import redacted

_FORMAT = 2
_READ = (UNSEALED_FORMAT, _FORMAT)
_LOOK_AGAIN_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """One RESULTS folder."""

    path: Path
    plate_name: str
    plate_identity: str
    plate_path: str
    version: int = _FORMAT  # of the folder's format

    @classmethod
    def create_or_open(
        cls, path: Path | str, *, plate_name: str, plate_identity: str, plate_path: str = ""
    ) -> "Results":
        """Make the folder, or go on in one that belongs to this plate.

        Args:
            path: RESULTS; may exist if it is empty or of an earlier run on this plate.
            plate_name: Name of the plate, for people.
            plate_identity: From `Plate.identity`.
            plate_path: Where the plate lies; may change between runs.

        Raises:
            ResultsError: The folder belongs to another plate, or holds other things.
            StorageError: The disk refuses.
        """
        path = Path(path)
        if (path / MARK).is_file():
            return _of_this_plate(cls.open(path), plate_name, plate_identity, plate_path)
        if path.exists() and (not path.is_dir() or any(_is_foreign(entry) for entry in path.iterdir())):
            raise ResultsError(
                f"{path} exists and is no RESULTS folder of killassay, so nothing is written into it. "
                "Choose another folder for --out."
            )
        results = cls(path=path, plate_name=plate_name, plate_identity=plate_identity, plate_path=plate_path)
        with disk_refusals("the RESULTS folder", path):
            path.mkdir(parents=True, exist_ok=True)
        results._write_mark()  # first, so that whoever dies or comes in between finds a RESULTS folder
        results._make_folders()
        results._vouch_for_mark()
        return results

    @classmethod
    def open(cls, path: Path | str) -> "Results":
        """Open a folder that exists.

        Raises:
            ResultsError: It is no RESULTS folder.
        """
        path = Path(path)
        try:
            values = json.loads((path / MARK).read_bytes())
            version = values["format"]
            plate = values["plate"]
            opened = cls(
                path=path,
                plate_name=plate["name"],
                plate_identity=plate["identity"],
                plate_path=plate["path"],
                version=version,
            )
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise ResultsError(
                f"{path} is no RESULTS folder of killassay ({MARK} is missing or damaged). "
                "`killassay run PLATE.zarr --protocol P.toml --out RESULTS` makes one."
            ) from error
        if version not in _READ:
            raise ResultsError(
                f"{path} was written by another version of killassay (format {version}, expected {_FORMAT}). "
                "Choose another folder for --out."
            )
        return opened

    @property
    def tables(self) -> Path:
        """Folder of the result tables."""
        return self.path / "tables"

    @property
    def work(self) -> Path:
        """Folder of what is kept for resume; private."""
        return self.path / "work"

    @property
    def review(self) -> Path:
        """Folder of the review logs."""
        return self.path / "review"

    @property
    def labels(self) -> Path:
        """The plate of label images."""
        return self.path / "labels.zarr"

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.path / "report.html"

    @property
    def protocol_file(self) -> Path:
        """Every setting that was used."""
        return self.path / "protocol.toml"

    @property
    def provenance_file(self) -> Path:
        """Versions, model, device, times, status of each field."""
        return self.path / "provenance.json"

    @property
    def ledger(self) -> Ledger:
        """What is done."""
        return ledger_of(self.path)

    def keep_file(self, file: Path, data: bytes) -> Path:
        """Write a file that every run writes again, and let the ledger vouch for it.

        Raises:
            StorageError: The disk refuses.
        """
        unit = file.relative_to(self.path).as_posix().replace("/", "-")
        self.ledger.promise(FILES, unit, {file: data})
        return file

    def write_protocol(self, text: str) -> None:
        """Keep the settings that were used, as TOML."""
        self.keep_file(self.protocol_file, text.encode())

    def read_protocol(self) -> Protocol:
        """The settings that were used.

        Raises:
            DamageError: They are not as they were written.
            ProtocolError: They cannot be read.
        """
        require_as_written(self.protocol_file)
        return read_protocol(self.protocol_file)

    def write_provenance(self, values: Mapping[str, Any]) -> None:
        """Keep how the results came about, without passwords and tokens."""
        text = json.dumps(redacted(values), indent=2, sort_keys=True) + "\n"
        self.keep_file(self.provenance_file, text.encode())

    def read_provenance(self) -> dict[str, Any]:
        """How the results came about; empty where nothing was written yet.

        Raises:
            ResultsError: The file is damaged.
        """
        if self.provenance_file.exists():
            require_as_written(self.provenance_file)
        try:
            return dict(json.loads(self.provenance_file.read_bytes()))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError) as error:
            raise ResultsError(f"{self.provenance_file} is damaged. Run the same command again.") from error

    def require_space(self, needed_bytes: int) -> None:
        """Refuse to begin a run that the disk cannot hold.

        Raises:
            StorageError: Less is free.
        """
        require_free_space(self.path, needed_bytes, "this run")

    @contextmanager
    def lock(
        self, name: str = "run", *, beside: Sequence[str] = ("*",), wait_s: float = 0.0
    ) -> Iterator[None]:
        """Keep a second run out. A lock left by a run that died on this machine is taken over.

        Args:
            name: Runs that do disjoint parts take different names.
            beside: Patterns of the names that others may hold at the same time.
            wait_s: How long to wait for the others.

        Raises:
            ResultsError: Another run works here, or a link in the folder leads out of it.
        """
        require_no_links_out(self.path)
        file = self.path / f".{name}.lock"
        ours = self._take(file, beside, time.monotonic() + wait_s)
        try:
            yield
        finally:
            release_lock(file, ours)

    def others_at_work(self, *mine: str) -> bool:
        """Whether anybody holds a lock here of another name than `mine`."""
        return any(file.name not in {f".{name}.lock" for name in mine} for file in living_locks(self.path))

    def _take(self, file: Path, beside: Sequence[str], deadline: float) -> Mapping[str, Any]:
        while True:
            try:
                with disk_refusals("the lock", self.path):
                    return take_lock(file, self.path, beside=beside)
            except ResultsError:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(_LOOK_AGAIN_S)

    def _make_folders(self) -> None:
        with disk_refusals("the RESULTS folder", self.path):
            for folder in (self.tables, self.work, self.review, self.path / "ledger"):
                folder.mkdir(parents=True, exist_ok=True)

    def _write_mark(self) -> None:
        plate = {"name": self.plate_name, "identity": self.plate_identity, "path": self.plate_path}
        values = {"format": self.version, "made_by": "killassay", "plate": plate}
        write_whole(self.path / MARK, (json.dumps(values, indent=2, sort_keys=True) + "\n").encode())

    def _vouch_for_mark(self) -> None:
        self.ledger.commit(FILES, MARK, "", [self.path / MARK])


def _of_this_plate(results: Results, name: str, identity: str, path: str) -> Results:
    if results.plate_identity != identity:
        raise ResultsError(
            f"{results.path} holds the results of another plate ({results.plate_name!r}, this one is {name!r}), or "
            "the plate's metadata was changed since. Choose another folder for --out, or delete that one."
        )
    moved = replace(results, plate_name=name, plate_path=path)
    if moved != results:
        moved._write_mark()
    moved._make_folders()
    if moved != results or results.ledger.record(FILES, MARK) is None:
        moved._vouch_for_mark()
    return moved


def _is_foreign(entry: Path) -> bool:
    """Whether a file is of other things; a RESULTS folder that is just being made holds only its mark."""
    return not entry.name.startswith(".") and entry.name != MARK
