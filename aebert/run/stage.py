"""Stages of a run that are skipped when they are done for the same inputs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aebert.errors import StudyError
from aebert.files import write_json
from aebert.sections import digest, flat


@dataclass(frozen=True)
class Stage:
    """One stage of a run: what goes in decides whether it is done.

    folder: of the run. inputs: plain values that determine the result (settings, digests of data and models).
    outputs: files and folders the stage makes, relative to `folder`; all must be there for it to be done.
    reads_only: it must be done already.
    """

    folder: Path
    name: str
    inputs: Mapping[str, Any]
    outputs: Sequence[str] = ()
    reads_only: bool = False

    @property
    def _record(self) -> Path:
        return self.folder / "stages" / f"{self.name}.json"

    @property
    def digest(self) -> str:
        """Of the inputs; names this stage's result in the inputs of later stages."""
        return digest(self.name, dict(self.inputs))

    def done(self) -> dict[str, Any] | None:
        """The recorded result, or None when the stage has to run."""
        record = self._recorded()
        if record.get("inputs") != self.digest:
            return None
        whole = all((self.folder / output).exists() for output in self.outputs)
        return record["result"] if whole else None

    def changes(self) -> list[str]:
        """How the inputs differ from those of the recorded result; empty where nothing is recorded."""
        if self._recorded().get("inputs") in (None, self.digest):
            return []
        before, now = (flat(values) for values in (self._recorded()["detail"], _as_read(dict(self.inputs))))
        keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        return [f"{key} was {before.get(key)!r}, now {now.get(key)!r}" for key in keys]

    def _recorded(self) -> Mapping[str, Any]:
        try:
            record = json.loads(self._record.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # never run, or killed while writing the record
            return {}
        return record if isinstance(record, dict) else {}

    def run(self, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The recorded result, or the one that `work` returns, recorded with the seconds it took.

        Raises: StudyError where it may only be read, and is not there.
        """
        result = self.done()
        if result is None:
            if self.reads_only:
                raise StudyError(
                    f"stage {self.name} in {self.folder} must be done before workers read it, it is not: was it "
                    "deleted? run the same command again"
                )
            # what the outputs hold is not what an older record says from here on, also if this is killed half-way
            self._record.unlink(missing_ok=True)
            started = time.perf_counter()
            result = work()
            result = {**result, "seconds": result.get("seconds", time.perf_counter() - started)}
            result = _as_read(result)
            write_json(self._record, {"inputs": self.digest, "detail": dict(self.inputs), "result": result})
        return result


def recorded_seconds(folder: Path) -> dict[str, float]:
    """What the recorded stages of a run's folder took, by their names."""
    found = {}
    for path in sorted((folder / "stages").glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8")).get("result", {})
        if "seconds" in result:
            found[path.stem] = round(float(result["seconds"]), 1)
    return found


def _as_read(values: dict[str, Any]) -> dict[str, Any]:
    """Values as a later run reads them from the record."""
    read: dict[str, Any] = json.loads(json.dumps(values, default=str))
    return read
