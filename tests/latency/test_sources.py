from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aebert.errors import ConfigError
from aebert.latency.curves import Blocks, Curve
from aebert.latency.devices import device_names, load_device
from aebert.latency.estimates import EstimatedPrices
from aebert.latency.estimators import ESTIMATORS
from aebert.latency.references import REFERENCE_SHAPES, bert_shape
from aebert.latency.sources import PriceSource, price_source
from aebert.latency.table import LatencyTable, TableShape
from aebert.latency.table_files import write_table
from aebert.latency.workload import FileForm, Workload
from aebert.models.shape import ModelShape
from aebert.pruning.architecture import Architecture
from aebert.search.space import load_space, make_grid

BERT = REFERENCE_SHAPES["bert-base"]
GRID = make_grid(load_space("fine-grid"), BERT)
AT_32 = Workload(32)
Board = Callable[..., Path]


# --- what holds for every source ------------------------------------------------------------------------------------


def table(form: FileForm = "int8", shape: ModelShape = BERT, floor_ms: float = 1.0) -> LatencyTable:
    blocks = Blocks(floor_ms=floor_ms, heads=Curve((1, 12), (0.5, 2.0)), ffn=Curve((16, 3072), (0.25, 1.0)))
    return LatencyTable(machine={"cpu": "Toy 1"}, form=form, shape=TableShape.of(shape), prices={AT_32: blocks})


def sources(form: FileForm = "int8") -> dict[str, PriceSource]:
    """A latency table, and estimates by every estimator that a device of the package has, by its kind."""
    found: dict[str, PriceSource] = {"table": table(form)}
    for device in map(load_device, device_names()):
        if device.estimate is not None:
            found[str(device.kind)] = EstimatedPrices(device=device, shape=BERT, form=form)
    return found


SOURCES = sources()
every_source = pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)


def test_every_kind_of_source_is_held_to_the_rules() -> None:
    assert set(SOURCES) == {"table", *ESTIMATORS}


@every_source
def test_it_covers_its_own_encoder_form_and_workload(source: PriceSource) -> None:
    source.check(BERT, "int8", AT_32)
    source.check(None, "int8", AT_32)  # the shape isn't at hand
    assert source.form == "int8"
    assert source.dense == Architecture.dense(BERT)


@pytest.mark.parametrize(
    ("shape", "form", "workload"),
    [
        (bert_shape(768, 12, 12, 3000), "int8", AT_32),
        (BERT, "float32", AT_32),
        (None, "float32", AT_32),
        (BERT, "int8", Workload(32, threads=3)),
    ],
)
@every_source
def test_it_refuses_what_it_has_no_prices_for(
    source: PriceSource, shape: ModelShape | None, form: FileForm, workload: Workload
) -> None:
    with pytest.raises(ConfigError) as caught:
        source.check(shape, form, workload)
    assert "\n" not in str(caught.value)


@every_source
def test_the_cost_table_has_the_prices_that_are_predicted(source: PriceSource) -> None:
    costs = source.cost_table(AT_32, GRID)
    assert costs.unit == "ns"

    @settings(max_examples=20, deadline=None)
    @given(st.lists(st.floats(0, 1), min_size=24, max_size=24))
    def holds(shares: list[float]) -> None:
        levels = (GRID.last * shares).astype(int)
        predicted = 1e6 * source.predict(GRID.architecture(levels), AT_32)
        assert costs.total(levels) == pytest.approx(predicted, abs=25)  # whole ns, 25 entries

    holds()


@every_source
def test_a_wider_block_is_never_cheaper(source: PriceSource) -> None:
    @settings(max_examples=20, deadline=None)
    @given(st.integers(0, 23), st.floats(0, 1), st.floats(0, 1))
    def holds(block: int, one: float, other: float) -> None:
        full = [*BERT.heads, *BERT.ffn]
        narrow, wide = ([*full[:block], int(share * full[block]), *full[block + 1 :]] for share in sorted((one, other)))
        cheap, dear = (
            source.predict(Architecture(tuple(each[:12]), tuple(each[12:])), AT_32) for each in (narrow, wide)
        )
        assert 0 < cheap <= dear + 1e-9

    holds()


@every_source
def test_an_estimate_is_called_one_and_a_measurement_is_not(source: PriceSource) -> None:
    for words in (source.name, source.describe(AT_32), source.remarks(AT_32)[0]):
        assert ("estimate" in words) == source.estimated
    assert "32 tokens" in source.describe(AT_32)
    assert not any("\n" in line for line in (source.describe(AT_32), *source.remarks(AT_32)))


@pytest.mark.parametrize("kind", SOURCES)
def test_the_digest_is_of_the_prices(kind: str) -> None:
    assert sources()[kind].digest == SOURCES[kind].digest
    assert sources("float32")[kind].digest != SOURCES[kind].digest


@every_source
def test_what_is_measured_elsewhere_or_nowhere_is_not_measured_here(source: PriceSource) -> None:
    assert not source.measured_here()
    assert source.margin(AT_32) >= 0


# --- which source a name means --------------------------------------------------------------------------------------


def none_of_its_own() -> PriceSource:
    raise AssertionError("the machine that this runs on is not asked for")


def named(name: str, shape: ModelShape | None = BERT) -> PriceSource:
    return price_source(name, shape, "int8", none_of_its_own)


def test_a_json_file_is_a_table(tmp_path: Path) -> None:
    path = str(write_table(table(), tmp_path / "table.json"))
    assert named(path) == named(path, None) == table()


def test_names_and_files_are_devices(board: Board) -> None:
    assert named("raspberry-pi-5") == EstimatedPrices(device=load_device("raspberry-pi-5"), shape=BERT, form="int8")
    assert named(str(board())).name == "toy-board (estimate)"


def test_this_machine_has_prices_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("this: true", encoding="utf-8")
    for name in ("this", str(tmp_path / "mine.yaml")):
        assert price_source(name, BERT, "int8", table) == table()


def test_an_estimate_takes_the_shape_of_the_encoder() -> None:
    with pytest.raises(ConfigError, match=r"^device 'raspberry-pi-5' can be estimated only for a dense model that is "):
        named("raspberry-pi-5", None)


def test_a_board_over_ssh_has_to_be_measured_there(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("host: pi@board", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        named(str(tmp_path / "mine.yaml"))
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
        named(name)
