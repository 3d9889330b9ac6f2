"""How long a study's files take on another device: measured there over ssh, predicted by a table, or estimated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from aebert.config import THIS_DEVICE
from aebert.errors import StudyError
from aebert.latency.devices import Device, load_device
from aebert.latency.sources import PriceSource
from aebert.latency.workload import Workload
from aebert.progress import SILENT, Progress
from aebert.pruning.architecture import Architecture
from aebert.reporting.best import INT8, Times, shipped_files
from aebert.reporting.report import Report
from aebert.reporting.rows import ProfileRow
from aebert.studies.folder import stored_config
from aebert.studies.repricing import dense_shape, device_source

_RUNS = 50  # timed requests of each file on a host


def device_times(
    found: Report, folder: Path, device: str, workload: Workload, progress: Progress = SILENT
) -> Times | None:
    """What the files that ship take on a device; None for `this`, whose times were measured at the end of the run.

    device: as `search.budget.device`, or a device file with a host, which the files are then measured on.

    Raises: ConfigError for a device that has no times of these files; HostError; StudyError where files to measure were
      not copied.
    """
    if device == THIS_DEVICE:
        return None
    known = None if device.endswith(".json") else load_device(device, " or a latency table (.json)")
    if known is not None and known.host is not None:
        return _measured(found, folder, known, workload, progress)
    form, shape = stored_config(folder).form, dense_shape(folder)
    source = device_source(folder, device, shape, form)
    source.check(shape, form, workload)
    models = {row.name: row.architecture for row in found.finalists}
    files = [row for row in shipped_files(found, baselines=True) if row.kind == form and row.name in models]
    predicted = {row.file: source.predict(_padded(models[row.name], source), workload) for row in files}
    verb = "estimated for" if source.estimated else "predicted for"
    return Times(predicted, f"{form} files, {verb} {source.describe(workload)}")


def _padded(architecture: Architecture, source: PriceSource) -> Architecture:
    """A model of fewer layers as one whose last layers keep no units, which is how prices know it."""
    heads, ffn = (
        (*mine, *(0,) * (len(full) - len(mine)))
        for mine, full in ((architecture.heads, source.dense.heads), (architecture.ffn, source.dense.ffn))
    )
    return Architecture(heads, ffn)


def _measured(found: Report, folder: Path, device: Device, workload: Workload, progress: Progress) -> Times:
    from aebert.compare.comparison import Settings, compare  # here, since it takes onnx and SciPy
    from aebert.compare.remote import Host, host_arguments
    from aebert.compare.targets import opened

    paths = _paths(found, folder)
    settings = Settings((workload.length,), (workload.batch,), (device.threads,), runs=_RUNS)
    with opened(list(paths.values())) as targets:
        measured = compare(targets, settings, host=Host(**host_arguments(device)), progress=progress)
    ms = {file: cell.p50_ms for file, cell in zip(paths, measured.cells, strict=True)}
    workload = Workload(workload.length, workload.batch, device.threads)
    return Times(ms, f"the median request, measured on {device.host}: {workload}")


def _paths(found: Report, folder: Path) -> Mapping[str, Path]:
    """The files that ship, and the dense model's own."""
    dense = [row for row in found.profiles if row.name == "dense" and row.kind in ("float32", INT8)]
    rows = {row.file: row for row in (*dense, *shipped_files(found, baselines=True))}
    paths = {file: folder / "models" / _name(row) for file, row in rows.items()}
    for path in paths.values():
        if not path.is_file():
            raise StudyError(f"{path} must be there to be measured on a host: copy the study's folder with its models")
    return paths


def _name(row: ProfileRow) -> str:
    return f"{row.name}{'.int8' if row.kind == INT8 else ''}.onnx"
