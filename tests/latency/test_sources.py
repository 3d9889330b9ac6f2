from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aebert.errors import ConfigError
from aebert.latency.curves import Blocks, Curve
from aebert.latency.devices import Device, load_device
from aebert.latency.references import bert_shape
from aebert.latency.sources import EstimatedPrices, price_source
from aebert.latency.table import LatencyTable, TableShape
from aebert.latency.table_files import write_table
from aebert.latency.workload import FileForm, Workload
from aebert.pruning.architecture import Architecture
from aebert.search.space import load_space, make_grid

SHAPE = bert_shape(32, 2, 4, 64)
Board = Callable[..., Path]


def test_a_json_file_is_a_table(tmp_path: Path) -> None:
    blocks = Blocks(1.0, Curve((1, 4), (0.5, 2.0)), Curve((16, 64), (0.25, 1.0)))
    table = LatencyTable({"cpu": "Toy 1"}, "int8", TableShape.of(SHAPE), {Workload(16): blocks})
    assert price_source(str(write_table(table, tmp_path / "table.json"))) == table


def test_names_and_files_are_devices_and_this_is_neither(board: Board, tmp_path: Path) -> None:
    assert price_source("raspberry-pi-5") == load_device("raspberry-pi-5")
    found = price_source(str(board()))
    assert isinstance(found, Device)
    assert found.name == "toy-board"
    (tmp_path / "mine.yaml").write_text("this: true", encoding="utf-8")
    assert price_source("this") is None
    assert price_source(str(tmp_path / "mine.yaml")) is None


def test_a_board_over_ssh_has_to_be_measured_there(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("host: pi@board", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        price_source(str(tmp_path / "mine.yaml"))
    assert str(caught.value) == (
        "device 'mine' must be a latency table, since it is measured on pi@board: run `aebert latency-table` there "
        "and give the .json file that it writes"
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.json", r"^latency table nowhere\.json can't be read: No such file"),
        (
            "nowhere.yaml",
            r"^device 'nowhere\.yaml' does not exist; .*, or a \.yaml file or a latency table \(\.json\)$",
        ),
        ("raspbery-pi-5", r"\(did you mean 'raspberry-pi-5'\?\)"),
    ],
)
def test_what_is_not_there_is_one_line(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        price_source(name)


def prices(path: Path, form: FileForm = "int8") -> EstimatedPrices:
    return EstimatedPrices(load_device(str(path)), SHAPE, form)


@pytest.mark.parametrize(("form", "dense", "part"), [("int8", 20.4, 8.4), ("float32", 34.8, 11.8)])
def test_milliseconds_of_a_device_by_hand(board: Board, form: FileForm, dense: float, part: float) -> None:
    # int8: 2 + 2 · (1 + 4) + 2 · (1 + 3.2), and 2 + (1 + 1) + 0 + (1 + 0.8) + (1 + 1.6); float32: all but the 2 and
    # the ones twice
    found = prices(board(), form)
    assert found.estimate(Architecture((4, 4), (64, 64)), Workload(16)).estimated_ms == pytest.approx(dense)
    assert found.estimate(Architecture((1, 0), (16, 32)), Workload(16)).estimated_ms == pytest.approx(part)


def test_the_table_of_a_grid_has_the_same_costs_in_ns(board: Board) -> None:
    grid = make_grid(load_space("fine-grid"), SHAPE)
    table = prices(board()).cost_table(Workload(16), grid)
    assert (table.unit, table.fixed, table.total(grid.last)) == ("ns", 2_000_000, 20_400_000)
    one = grid.last.copy()
    one[0] -= 1
    assert grid.architecture(one).heads[0] == 3
    assert table.total(one) == 19_400_000


def test_it_says_that_it_is_an_estimate(board: Board) -> None:
    assert prices(board()).told(Workload(16, 2)) == "toy-board (estimate), 16 tokens, batch 2"


def test_the_digest_is_of_the_model_and_not_of_the_name(board: Board) -> None:
    first = prices(board()).digest
    assert prices(board(name="renamed")).digest == first
    assert prices(board(), "float32").digest != first
    assert prices(board(clock_ghz=1.1)).digest != first


def test_a_form_that_the_board_lacks(board: Board) -> None:
    path = board(efficiency={"float32": 1})
    prices(path, "float32").check(Workload(16))
    with pytest.raises(ConfigError) as caught:
        prices(path).check(Workload(16))
    assert str(caught.value) == (
        "device toy-board: efficiency must have int8, got only float32; the files are int8: choose another form "
        "(deploy.int8, --form) or another device"
    )


def test_threads_are_those_of_the_board(board: Board) -> None:
    with pytest.raises(ConfigError, match=r"^threads must be left out for device 'toy-board', got 2: its file says"):
        prices(board()).check(Workload(16, threads=2))
