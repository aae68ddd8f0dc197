"""What is done: one small commit record per unit of work, so that a run can be killed and go on.

A record is written only when the unit's outputs are on the disk, and says what they depended on; if that
changes, the unit is not done any more.

    ledger = Ledger(results / "ledger", base=results)
    if not ledger.is_done("pixels", "B02_0_0000", key):
        files = do_the_work()
        ledger.commit("pixels", "B02_0_0000", key, files, seconds=3.2)
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from assay.errors import ResultsError, StorageError
from assay.io.durable import disk_refusals, sync_files, write_whole

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One file that a unit of work made."""

    path: str  # relative to RESULTS, with /
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One unit of work that is done."""

    step: str
    unit: str
    key: str
    outputs: tuple[Output, ...]
    seconds: float
    worker: str
    facts: Mapping[str, Any]  # what the step wants to remember, e.g. how many cells


def key_of(**parts: Any) -> str:
    """Hash of everything a unit of work depends on; the order of the parts does not matter.

    Raises:
        ResultsError: A part is not plain data (text, numbers, lists, mappings).
    """
    try:
        text = json.dumps(parts, sort_keys=True, allow_nan=True)
    except TypeError as error:
        raise ResultsError(f"a unit of work cannot depend on this: {error}.") from error
    return hashlib.sha256(text.encode()).hexdigest()


def file_sha256(file: Path) -> str:
    """Hash of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class Ledger:
    """The commit records of one RESULTS folder."""

    def __init__(self, folder: Path, *, base: Path) -> None:
        self._folder, self._base = Path(folder), Path(base)

    def commit(
        self,
        step: str,
        unit: str,
        key: str,
        outputs: Iterable[Path] = (),
        *,
        seconds: float = 0.0,
        worker: str = "",
        facts: Mapping[str, Any] | None = None,
    ) -> Record:
        """Put the outputs on the disk, then say that the unit is done.

        Args:
            step: Name of the step.
            unit: Name of the unit, unique within the step.
            key: What it depends on, from `key_of`.
            outputs: Files it made, inside RESULTS.
            seconds: How long it took.
            worker: Who did it.
            facts: Small plain data to remember.

        Raises:
            ResultsError: An output is not there.
            StorageError: The disk refuses.
        """
        files = [Path(file) for file in outputs]
        absent = next((file for file in files if not file.is_file()), None)
        if absent is not None:
            raise ResultsError(f"step {step}, {unit}: {absent} should have been written and is not there.")
        sync_files(files)
        made = tuple(
            Output(path=self._relative(file), sha256=file_sha256(file), bytes=file.stat().st_size)
            for file in files
        )
        record = Record(
            step=step,
            unit=unit,
            key=key,
            outputs=made,
            seconds=seconds,
            worker=worker,
            facts=dict(facts or {}),
        )
        self._write(self._file(step, unit), asdict(record))
        self.clear_failure(step, unit)
        return record

    def record(self, step: str, unit: str) -> Record | None:
        """The record of a unit; None where there is none, or it is torn."""
        return _read(self._file(step, unit))

    def is_done(self, step: str, unit: str, key: str) -> bool:
        """Whether the unit was done with this key and its outputs are still there, in their size."""
        record = self.record(step, unit)
        if record is None or record.key != key:
            return False
        for output in record.outputs:
            try:
                if (self._base / output.path).stat().st_size != output.bytes:
                    return False
            except OSError:
                return False
        return True

    def records(self, step: str) -> list[Record]:
        """All records of a step, by unit."""
        found = (_read(file) for file in sorted((self._folder / step).glob("*.json")))
        return [record for record in found if record is not None]

    def forget(self, step: str, unit: str) -> None:
        """Say that a unit is not done; its outputs stay until they are written again."""
        with disk_refusals("the ledger", self._folder):
            self._file(step, unit).unlink(missing_ok=True)

    def damaged_outputs(self, record: Record) -> list[str]:
        """What of a unit's outputs is not as it was committed, read byte by byte; one line each."""
        found = []
        for output in record.outputs:
            file = self._base / output.path
            try:
                if file_sha256(file) != output.sha256:
                    found.append(f"{output.path} was changed after it was written")
            except OSError as error:
                found.append(f"{output.path} cannot be read ({error.strerror})")
        return found

    def mark_failed(self, step: str, unit: str, message: str, *, key: str = "") -> None:
        """Record that a unit failed, and why; nothing says that it is done."""
        self.forget(step, unit)
        self._write(self._failure(step, unit), {"step": step, "unit": unit, "key": key, "message": message})

    def clear_failure(self, step: str, unit: str) -> None:
        """Take a failure back, for instance because the unit is being done again."""
        with disk_refusals("the ledger", self._folder):
            self._failure(step, unit).unlink(missing_ok=True)

    def failures(self, step: str | None = None) -> dict[tuple[str, str], str]:
        """(step, unit) -> why it failed."""
        found: dict[tuple[str, str], str] = {}
        for file in sorted((self._folder / "failed").glob("*/*.json")):
            values = _json(file)
            if values is not None and step in (None, values.get("step")):
                found[str(values["step"]), str(values["unit"])] = str(values["message"])
        return found

    def _file(self, step: str, unit: str) -> Path:
        for name in (step, unit):
            if not _NAME.fullmatch(name) or step == "failed":
                raise ResultsError(f"{name!r} cannot name a step or a unit of work.")
        return self._folder / step / f"{unit}.json"

    def _failure(self, step: str, unit: str) -> Path:
        return self._folder / "failed" / self._file(step, unit).relative_to(self._folder)

    def _relative(self, file: Path) -> str:
        try:
            return file.resolve().relative_to(self._base.resolve()).as_posix()
        except ValueError as error:
            raise ResultsError(
                f"{file} lies outside {self._base}, so the ledger cannot vouch for it."
            ) from error

    def _write(self, file: Path, values: Mapping[str, Any]) -> None:
        with disk_refusals("the ledger", self._folder):
            file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, (json.dumps(values, indent=1, sort_keys=True) + "\n").encode())


def _json(file: Path) -> dict[str, Any] | None:
    try:
        values = json.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"the ledger {file} cannot be read ({error.strerror}).") from error
    except ValueError:
        return None
    return values if isinstance(values, dict) else None


def _read(file: Path) -> Record | None:
    """A torn or foreign record counts as none: the unit is done again."""
    values = _json(file)
    if values is None:
        return None
    try:
        outputs = tuple(Output(**output) for output in values.pop("outputs"))
        return Record(outputs=outputs, **values)
    except (KeyError, TypeError):
        return None
