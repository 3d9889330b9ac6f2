"""Where milliseconds come from: the table of a device that was measured, or the model of one that isn't at hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aebert.config import digest, plain
from aebert.errors import ConfigError
from aebert.latency.devices import Device, estimator_of, load_device
from aebert.latency.estimation import Estimate, estimate, estimated_table
from aebert.latency.table import FileForm, LatencyTable, Workload, read_table
from aebert.models.shape import ModelShape
from aebert.pruning.architecture import Architecture
from aebert.search.space import Grid
from aebert.search.table import CostTable


def price_source(name: str) -> LatencyTable | Device | None:
    """A device's latency table, or the device itself where it has a model; None for the machine this runs on.

    name: `this`, the path of a latency table (.json), or the name or the path (.yaml) of a device.

    Raises: ConfigError for what is none of these, can't be read, or is measured on another host.
    """
    if name.endswith(".json"):
        return read_table(Path(name).expanduser())
    device = load_device(name, " or a latency table (.json)")
    if device.host is not None:
        raise ConfigError(
            f"device {device.name!r} must be a latency table, since it is {device.way}: run `aebert latency-table` "
            "there and give the .json file that it writes"
        )
    return None if device.this else device


@dataclass(frozen=True)
class EstimatedPrices:
    """Prices of an encoder's blocks by a device's model: used as a `LatencyTable` is, but nothing of it was measured.

    board: has an estimate. shape: of the dense model. form: of the files, which is the precision of the estimate.
    """

    board: Device
    shape: ModelShape
    form: FileForm

    @property
    def device(self) -> str:
        """Name of the device, for reports."""
        return f"{self.board.name} (estimate)"

    @property
    def digest(self) -> str:
        """Of all that prices follow from but the work: the device's model and its parameters."""
        return digest(self.board.kind, plain(estimator_of(self.board)), self.form)

    def check(self, setting: Workload) -> None:
        """Raise ConfigError where the device's model says nothing about such work, or other threads are asked for."""
        if setting.threads != 1:
            raise ConfigError(
                f"threads must be left out for device {self.board.name!r}, got {setting.threads}: "
                "its file says what the estimate is for"
            )
        try:
            self.estimate(Architecture.dense(self.shape), setting)
        except ConfigError as error:
            raise ConfigError(
                f"{error}; the files are {self.form}: choose another form (deploy.int8, --form) or another device"
            ) from None

    def estimate(self, architecture: Architecture, setting: Workload) -> Estimate:
        """The estimated time of one request."""
        length, batch = setting.length, setting.batch
        return estimate(self.board, architecture, self.shape, length=length, batch=batch, precision=self.form)

    def cost_table(self, setting: Workload, grid: Grid) -> CostTable:
        """What every block costs at every level of a grid, in ns."""
        length, batch = setting.length, setting.batch
        return estimated_table(self.board, self.shape, grid, length=length, batch=batch, precision=self.form)

    def told(self, setting: Workload) -> str:
        """The device and how its requests are run, in one line."""
        return f"{self.device}, {setting.length} tokens, batch {setting.batch}"
