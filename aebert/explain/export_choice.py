"""Which graph an export kept for a file, the plain or the fused one, as far as that is recorded beside the file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_INT8 = ".int8"  # ends the name of a run's quantized file


@dataclass(frozen=True)
class ExportChoice:
    """What `aebert export` kept.

    graph: `plain` or `fused`. fuse: the setting `deploy.fuse`; `auto` timed both. fused_times_faster: than the plain
    graph, as timed then on the select rows; None where only the choice is recorded.
    """

    graph: str
    fuse: str
    fused_times_faster: float | None = None


def find_export_choice(file: Path) -> ExportChoice | None:
    """The choice recorded for an ONNX file of a run or of a bundle; None for any other file."""
    name = file.stem.removesuffix(_INT8)
    readers = {
        file.parent / "bundle.json": _of_bundle,
        file.parent.parent / "stages" / f"export-{name}.json": _of_run,
    }
    for path, read in readers.items():
        try:
            return read(json.loads(path.read_text(encoding="utf-8")), file)
        except (OSError, ValueError, KeyError, TypeError):  # no such record, or one of an older version
            continue
    return None


def _of_bundle(manifest: Any, file: Path) -> ExportChoice:
    provenance = manifest["provenance"]
    return ExportChoice(provenance["form"]["graph"], provenance["deploy"]["fuse"])


def _of_run(record: Any, file: Path) -> ExportChoice:
    kept, kind = record["result"]["kept"], "int8_source" if file.stem.endswith(_INT8) else "float32"
    return ExportChoice(kept[kind], record["detail"]["deploy"]["fuse"], kept.get("fused_times_faster", {}).get(kind))
