"""Commands about devices and speed, without a study."""

from __future__ import annotations

import pytest

from .conftest import Aebert


def test_devices_are_listed_and_shown(aebert: Aebert) -> None:
    listed = aebert("devices")
    assert listed.code == 0
    assert "raspberry-pi-5" in listed.out
    shown = aebert("devices", "show", "alveo-u200-tiled")
    assert "dsp_slices: 5880" in shown.out
    assert "estimate 10.81 ms, stated 9.97 ms: +8 %" in shown.out


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("devices", "show", "raspbery"), "device 'raspbery' does not exist (did you mean 'raspberry-pi-5'?)"),
        (("devices", "show", "none.yaml"), "device 'none.yaml' does not exist; known: this,"),
        (("pareto", "nothing", "--device", "raspberry-pi-5"), "study 'nothing' must be a folder"),
        (("explain", "none.onnx"), "dense.onnx must be an ONNX file; there is none"),
    ],
)
def test_a_wrong_name_is_one_line(aebert: Aebert, command: tuple[str, ...], message: str) -> None:
    refused = aebert(*command)
    assert refused.code == 2
    assert message in refused.err
    assert len(refused.err.strip().splitlines()) == 1
