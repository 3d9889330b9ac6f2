"""Where milliseconds come from: a device's latency table, or estimates of a device that isn't at hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from aebert.errors import ConfigError
from aebert.files import expand_user
from aebert.latency.devices import load_device
from aebert.latency.estimates import EstimatedPrices
from aebert.latency.table_files import read_table
from aebert.latency.workload import FileForm, Workload
from aebert.models.shape import ModelShape
from aebert.pruning.architecture import Architecture
from aebert.search.space import Grid
from aebert.search.table import CostTable


class PriceSource(Protocol):
    """What the sub-networks of one encoder cost in milliseconds, on one device and in one form of file.

    `LatencyTable` and `EstimatedPrices` are the two kinds. A source is an immutable value: the same question always has
    the same answer, on every machine. `tests/latency/test_sources.py` holds all sources to these rules:

    - `check` is called first. It raises `ConfigError` for another encoder, another form, or a workload that the source
      has no prices for. What passes it has a price for every architecture of the encoder.
    - `predict` and `cost_table` agree: a cost table has the same prices in whole ns, block by block. Costs add up over
      the blocks and do not fall with the width of a block.
    - Times that were measured nowhere are called estimates: `estimated` is true, and `name`, `describe` and `remarks`
      say so.
    """

    @property
    def name(self) -> str:
        """The device, for reports."""

    @property
    def digest(self) -> str:
        """Digest of all that prices follow from, besides the workload; a study goes on only with the same prices."""

    @property
    def estimated(self) -> bool:
        """Whether no time was measured."""

    @property
    def form(self) -> FileForm:
        """The form of the files."""

    @property
    def dense(self) -> Architecture:
        """The encoder with all of its units."""

    def check(self, shape: ModelShape | None, form: FileForm, workload: Workload) -> None:
        """Raise ConfigError where there are no such prices.

        shape: of the encoder; None where it isn't at hand, and then it isn't compared.
        """

    def predict(self, architecture: Architecture, workload: Workload) -> float:
        """Milliseconds of one request."""

    def cost_table(self, workload: Workload, grid: Grid) -> CostTable:
        """What every block costs at every level of a grid, in ns."""

    def margin(self, workload: Workload) -> float:
        """The share of a prediction by which measured times may exceed it; 0 where that isn't known."""

    def measured_here(self) -> bool:
        """Whether times were measured on a machine like this one, so that measuring again can confirm them."""

    def describe(self, workload: Workload) -> str:
        """The device and how its requests are run, in one line."""

    def remarks(self, workload: Workload) -> tuple[str, ...]:
        """What a report says of the prices: what they hold for, and how far they can be trusted. One line each."""


def price_source(name: str, shape: ModelShape | None, form: FileForm, own: Callable[[], PriceSource]) -> PriceSource:
    """The prices of a device by its name, for an encoder of this shape in this form of file; they are not checked yet.

    name: `this`, the path of a latency table (.json), or the name or the path (.yaml) of a device.
    shape: None where the encoder isn't at hand; a latency table does without.
    own: gives the prices of the machine that this runs on.

    Raises: ConfigError for a name that is none of these, a file that can't be read, a device that is measured on
        another host, and a device to estimate without a shape.
    """
    if name.endswith(".json"):
        return read_table(expand_user(name))
    device = load_device(name, " or a latency table (.json)")
    if device.host is not None:
        raise ConfigError(
            f"device {device.name!r} must be a latency table, since it is {device.way}: run `aebert latency-table` "
            "there and give the .json file that it writes"
        )
    if device.this:
        return own()
    if shape is None:
        raise ConfigError(
            f"device {device.name!r} can be estimated only for a dense model that is at hand: put one into the study's "
            "folder as `dense`, or give a latency table (.json)"
        )
    return EstimatedPrices(device, shape, form)
