"""What is done: one small commit record per unit of work, so that a run can be killed and go on.

A record is written only when the unit's outputs are on the disk, and says what they depended on; if that
changes, the unit is not done any more. It holds a hash of each output, and one of itself.

    ledger = Ledger(results / "ledger", base=results)
    if not ledger.is_done("pixels", "B02_0_0000", key):
        files = do_the_work()
        ledger.commit("pixels", "B02_0_0000", key, files, seconds=3.2)
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from assay.errors import ResultsError, StorageError
from assay.io.durable import disk_refusals, sync_files, write_all, write_whole

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*")
_SEAL = "seal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One file that a unit of work made."""

    path: str  # relative to RESULTS, with /
    sha256: str
    bytes: int
    before: str = ""  # hash of what lay there, where the record is written first; that may still lie there


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
    """The commit records of one RESULTS folder.

    Args:
        folder: Where the records lie.
        base: RESULTS.
        sealed: Whether a record must hold its own hash; those of RESULTS of earlier versions do not.
    """

    def __init__(self, folder: Path, *, base: Path, sealed: bool = True) -> None:
        self._folder, self._base, self._sealed = Path(folder), Path(base), sealed

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
        root = self._base.resolve()
        made = tuple(
            Output(path=self._relative(file, root), sha256=file_sha256(file), bytes=file.stat().st_size)
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

    def promise(self, step: str, unit: str, contents: Mapping[Path, bytes]) -> None:
        """Write files that replace others, and say first what will lie there: killed between, the old may still do.

        Args:
            step: Name of the step.
            unit: Name of the unit.
            contents: File inside RESULTS -> what to write.

        Raises:
            StorageError: The disk refuses.
        """
        root = self._base.resolve()
        outputs = []
        for file, data in contents.items():
            before = file_sha256(file) if file.is_file() else ""
            made = {"path": self._relative(file, root), "sha256": hashlib.sha256(data).hexdigest()}
            outputs.append(Output(**made, bytes=len(data), before=before))
        record = Record(
            step=step, unit=unit, key="", outputs=tuple(outputs), seconds=0.0, worker="", facts={}
        )
        self._write(self._file(step, unit), asdict(record))
        write_all(contents)

    def record(self, step: str, unit: str) -> Record | None:
        """The record of a unit; None where there is none, or it is damaged."""
        return self._read(self._file(step, unit))

    def is_done(self, step: str, unit: str, key: str, *, compare: bool = False) -> bool:
        """Whether the unit was done with this key and its outputs are still there, in their size.

        Args:
            step: Name of the step.
            unit: Name of the unit.
            key: What it depends on now.
            compare: Also read the outputs and compare every byte; whoever reads one later does so anyway.
        """
        record = self.record(step, unit)
        if record is None or record.key != key:
            return False
        base = f"{self._base}{os.sep}"
        for output in record.outputs:
            try:
                if os.stat(base + output.path).st_size != output.bytes:  # noqa: PTH116 - ten thousands of them
                    return False
            except OSError:
                return False
        return not compare or not self.damaged_outputs(record)

    def records(self, step: str) -> list[Record]:
        """All records of a step, by unit."""
        found = (self._read(file) for file in sorted((self._folder / step).glob("*.json")))
        return [record for record in found if record is not None]

    def forget(self, step: str, unit: str) -> None:
        """Say that a unit is not done; its outputs stay until they are written again."""
        with disk_refusals("the ledger", self._folder):
            self._file(step, unit).unlink(missing_ok=True)

    def damaged_outputs(self, record: Record) -> list[str]:
        """What of a unit's outputs is not as it was committed, read byte by byte; one line each."""
        found = []
        for output in record.outputs:
            why = difference(self._base / output.path, output)
            if why:
                found.append(f"{output.path} {why}")
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
            values = self._values(file)
            if values is not None and step in (None, values.get("step")):
                found[str(values["step"]), str(values["unit"])] = str(values["message"])
        return found

    def is_whole(self, file: Path) -> bool:
        """Whether a record, of something done or failed, is as it was written and lies under its own name."""
        values = self._values(file)
        if values is None:
            return False
        named = (values.get("step"), values.get("unit")) == (file.parent.name, file.stem)
        return named and (file.parent.parent.name == "failed" or _record(dict(values)) is not None)

    def _file(self, step: str, unit: str) -> Path:
        for name in (step, unit):
            if not _NAME.fullmatch(name) or step == "failed":
                raise ResultsError(f"{name!r} cannot name a step or a unit of work.")
        return self._folder / step / f"{unit}.json"

    def _failure(self, step: str, unit: str) -> Path:
        return self._folder / "failed" / self._file(step, unit).relative_to(self._folder)

    def _relative(self, file: Path, root: Path) -> str:
        try:
            return file.resolve().relative_to(root).as_posix()
        except ValueError as error:
            raise ResultsError(
                f"{file} lies outside {self._base}, so the ledger cannot vouch for it."
            ) from error

    def _write(self, file: Path, values: Mapping[str, Any]) -> None:
        with disk_refusals("the ledger", self._folder):
            file.parent.mkdir(parents=True, exist_ok=True)
        plain = json.loads(json.dumps(values))  # as it will be read: keys become text
        write_whole(file, (json.dumps({**plain, _SEAL: _seal(plain)}, sort_keys=True) + "\n").encode())

    def _values(self, file: Path) -> dict[str, Any] | None:
        """What a record says; None where there is none, or it is not as it was written."""
        values = _json(file)
        if values is None:
            return None
        seal = values.pop(_SEAL, None)
        if seal is None:
            return None if self._sealed else values
        return values if seal == _seal(values) else None

    def _read(self, file: Path) -> Record | None:
        """A damaged or foreign record counts as none: the unit is done again."""
        values = self._values(file)
        if values is None or (values.get("step"), values.get("unit")) != (file.parent.name, file.stem):
            return None
        return _record(values)


def difference(file: Path, output: Output) -> str:
    """In which way a file is not what was recorded of it; "" where every byte is the same."""
    try:
        size = file.stat().st_size
        digest = file_sha256(file)
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if digest == output.sha256 or (output.before and digest == output.before):
        return ""
    if size < output.bytes:
        return f"was cut short ({size} of {output.bytes} bytes)"
    return "was changed after it was written"


def _seal(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _json(file: Path) -> dict[str, Any] | None:
    try:
        values = json.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"the ledger {file} cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def _record(values: dict[str, Any]) -> Record | None:
    try:
        outputs = tuple(Output(**output) for output in values.pop("outputs"))
        return Record(outputs=outputs, **values)
    except (KeyError, TypeError):
        return None
