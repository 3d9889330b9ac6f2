"""A study's folder: what lies in it, how it is found, and what its config says to someone who only looks."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from aebert.config import THIS_DEVICE
from aebert.errors import StudyError
from aebert.latency.workload import FileForm
from aebert.reporting.documents import SUMMARY
from aebert.sections import check, read_yaml

CONFIG = "config.yaml"  # the resolved config of the run
DATABASE = "study.db"  # the study, unless search.storage says where else
DENSE = "dense"  # the dense model
TABLE = "latency-table.json"  # the latency table that a budget of this machine's milliseconds was counted with


def study_folders(results: Path) -> list[Path]:
    """Folders of all studies below a folder, in the order of their names."""
    return sorted({path.parent for name in (CONFIG, SUMMARY) for path in results.glob(f"*/{name}")})


def find_study(study: str, results: Path) -> Path:
    """The folder of a study: a path, or a name below `results`. Raises: StudyError where there is none."""
    for folder in (Path(study), results / study):
        if (folder / CONFIG).is_file() or (folder / SUMMARY).is_file():
            return folder
    known = ", ".join(folder.name for folder in study_folders(results)) or "none"
    raise StudyError(f"study {study!r} must be a folder in {results} or a path, got neither; there: {known}")


class _Part(BaseModel):
    """A part of a stored config. Keys that are not read may be of any version, and are not looked at."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _Budget(_Part):
    device: str = THIS_DEVICE


class _Search(_Part):
    storage: str | None = None
    budget: _Budget = _Budget()


class _Deploy(_Part):
    int8: bool = True


class StoredConfig(_Part):
    """What reading a study takes from its config, whatever version of aebert wrote it.

    Going on with a study takes the whole config, which `load_config` validates.
    """

    name: str
    search: _Search = _Search()
    deploy: _Deploy = _Deploy()

    @property
    def form(self) -> FileForm:
        """The form of file that the run ships."""
        return "int8" if self.deploy.int8 else "float32"


def stored_text(folder: Path) -> str:
    """The config of a study as it is stored; empty where only the results were copied."""
    path = folder / CONFIG
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def stored_config(folder: Path) -> StoredConfig:
    """The config of a study; that of a run with default settings where only the results were copied.

    Raises: ConfigError for a file that can't be read.
    """
    path = folder / CONFIG
    if not path.is_file():
        return StoredConfig(name=folder.name)
    return check(StoredConfig, {"name": folder.name, **read_yaml(path, "config")}, str(path))
