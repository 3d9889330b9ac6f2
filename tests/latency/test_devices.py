from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from aebert.errors import ConfigError
from aebert.latency.devices import device_names, estimator_of, load_device
from aebert.latency.estimators import ESTIMATORS

ROOFLINE: dict[str, Any] = {
    "kind": "roofline",
    "cores": 4,
    "threads": 4,
    "clock_ghz": 2.4,
    "macs_per_cycle": {"float32": 8},
    "efficiency": {"float32": 0.5},
    "memory_gb_per_s": 10,
    "block_overhead_us": 5,
    "fixed_us": 5,
}


def written(folder: Path, values: object) -> str:
    path = folder / "board.yaml"
    path.write_text(values if isinstance(values, str) else yaml.safe_dump(values), encoding="utf-8")
    return str(path)


def test_this_machine_is_measured() -> None:
    device = load_device("this")
    assert (device.name, device.way, device.estimate, device.kind) == ("this", "measured here", None, None)


@pytest.mark.parametrize("name", device_names())
def test_every_device_of_the_package_loads_and_says_where_it_is_from(name: str) -> None:
    device = load_device(name)
    assert device.name == name
    assert device.description
    if device.estimate is not None:
        assert device.source
        assert device.assumptions


def test_the_package_has_a_device_of_every_kind() -> None:
    assert {load_device(name).kind for name in device_names()} == {None, *ESTIMATORS}


def test_a_board_over_ssh(tmp_path: Path) -> None:
    values = {
        "host": "pi@board.local",
        "port": 2222,
        "identity": "~/.ssh/board",
        "python": "venv/bin/python",
        "threads": 4,
    }
    device = load_device(written(tmp_path, values))
    assert (device.name, device.way) == ("board", "measured on pi@board.local")
    assert (device.port, device.identity, device.python, device.threads) == (
        2222,
        Path("~/.ssh/board"),
        "venv/bin/python",
        4,
    )
    assert load_device(written(tmp_path, {"host": "board"})).port is None  # ssh's configuration may say another than 22
    with pytest.raises(ConfigError, match=r"^device 'board' is measured on pi@board.local, so it has no estimate"):
        estimator_of(device)


def test_an_estimated_board(tmp_path: Path) -> None:
    device = load_device(written(tmp_path, {"name": "mine", "source": "its data sheet", "estimate": ROOFLINE}))
    assert (device.name, device.way) == ("mine", "estimate (roofline)")
    assert estimator_of(device).model_dump()["clock_ghz"] == 2.4


BOARD = {"source": "a", "estimate": ROOFLINE}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hots": "pi@board"}, r"unknown key 'hots' \(did you mean 'host'\?\); known here: name, description, "),
        ({}, r"give exactly one of host, this, estimate, got none"),
        ({"host": "a", "this": True}, r"give exactly one of host, this, estimate, got host and this"),
        ({"host": "-oProxyCommand=x"}, r"host: must be user@board, .* got '-oProxyCommand=x'"),
        ({"host": "pi@-board"}, r"host: must be user@board"),
        ({"host": "pi@board sh"}, r"host: must be user@board"),
        ({"host": "board", "port": 0}, r"port: .*greater than or equal to 1, got 0"),
        ({"host": "board", "published": []} | {"published": [{"model": "bert-base"}]}, r"published\.0\.milliseconds"),
        ({**BOARD, "source": ""}, r"an estimate must name the source of its parameters: add source"),
        ({**BOARD, "estimate": 5}, r"estimate: must be a mapping with kind, one of linear_sparsity, roofline, tiled"),
        ({**BOARD, "estimate": {"clock_ghz": 1}}, r"estimate: must be a mapping with kind"),
        ({**BOARD, "estimate": {"kind": "roofl"}}, r"unknown kind of estimate 'roofl' \(did you mean 'roofline'\?\)"),
        (
            {**BOARD, "estimate": {**ROOFLINE, "clock_mhz": 2400}},
            r"estimate: kind roofline: unknown key 'clock_mhz' \(did you mean 'clock_ghz'\?\); known here: cores, ",
        ),
        ({**BOARD, "estimate": {**ROOFLINE, "clock_ghz": 2400}}, r"clock_ghz: must be 0.05 to 10 GHz; .* got 2400"),
        ({**BOARD, "estimate": {**ROOFLINE, "clock_ghz": "2.4 GHz"}}, r"a plain number in GHz, got '2.4 GHz'"),
        ({**BOARD, "estimate": {**ROOFLINE, "efficiency": {"float32": 50}}}, r"must be 0.001 to 1 \(a share\)"),
        (
            {**BOARD, "estimate": {"kind": "roofline"}},
            r"estimate: kind roofline: cores: field required \(and \d more\)",
        ),
        ({**BOARD, "published": [{"model": "bert-bas"}]}, r"unknown reference model 'bert-bas' \(did you mean"),
        ("name: [", r"board\.yaml line 1 must be YAML"),
        ("- a", r"board\.yaml must be a mapping of keys to values, got list"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_rule_and_value(tmp_path: Path, values: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_device(written(tmp_path, values))
    assert "\n" not in str(caught.value)
    assert "board.yaml" in str(caught.value)


def test_a_measured_board_has_nothing_published(tmp_path: Path) -> None:
    one = {"model": "bert-base", "milliseconds": 1, "is": "measured", "length": 8, "source": "a"}
    with pytest.raises(ConfigError, match=r"published belongs to an estimate; remove it"):
        load_device(written(tmp_path, {"host": "board", "published": [one]}))


def test_a_name_that_is_not_known() -> None:
    with pytest.raises(
        ConfigError, match=r"^device 'raspbery-pi-5' does not exist \(did you mean 'raspberry-pi-5'\?\); "
    ):
        load_device("raspbery-pi-5")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml' does not exist; known: this, .*, or a \.yaml file$"):
        load_device(str(tmp_path / "none.yaml"))
