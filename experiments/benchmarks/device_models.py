"""Device models against every published time that their device files cite, and what they say of BERT-base's sizes.

    python experiments/benchmarks/device_models.py --results results

Nothing is measured here: these are estimates, their errors, and what zeros, widths and tiles change in them. Prints
tables and writes `<results>/benchmarks/device_models.json`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from common import make_parser, table, write_result

from aebert.errors import ConfigError
from aebert.latency.devices import Device, device_names, load_device
from aebert.latency.estimates import estimate, published_errors
from aebert.latency.estimators import Precision
from aebert.latency.references import REFERENCE_SHAPES
from aebert.pruning.architecture import Architecture

LENGTHS = (11, 32, 128)
PRECISIONS: tuple[Precision, ...] = ("float32", "int16", "int8")
# BERT-base with FFN widths that fill tiles of 64, and one neuron more; half of heads and neurons; empty top layers
WIDTHS = {
    "dense": Architecture((12,) * 12, (3072,) * 12),
    "half": Architecture((6,) * 12, (1536,) * 12),
    "half, one neuron more": Architecture((6,) * 12, (1537,) * 12),
    "upper half empty": Architecture((12,) * 6 + (0,) * 6, (3072,) * 6 + (0,) * 6),
}


def errors(devices: Sequence[Device]) -> list[dict[str, Any]]:
    """Estimate, published time and error, by device."""
    return [{"device": device.name, **one.to_dict()} for device in devices for one in published_errors(device)]


def sizes(devices: Sequence[Device]) -> list[dict[str, Any]]:
    """Estimated ms of some sub-networks of BERT-base on each device, at what each of them has a model for."""
    shape, rows = REFERENCE_SHAPES["bert-base"], []
    for device in devices:
        for precision in PRECISIONS:
            for length in LENGTHS:
                try:
                    found = {
                        name: estimate(device, one, shape, length=length, precision=precision).estimated_ms
                        for name, one in WIDTHS.items()
                    }
                except ConfigError:  # no rate for this precision
                    continue
                rows.append({"device": device.name, "precision": precision, "length": length, "estimated_ms": found})
    return rows


def show(found: Sequence[dict[str, Any]], sized: Sequence[dict[str, Any]]) -> None:
    """Print both tables."""
    header = ["device", "model", "length", "zeros", "is", "published ms", "estimated ms", "error"]
    print(table(header, [_error_row(one) for one in found]))
    print()
    names = list(WIDTHS)
    rows = [
        [one["device"], one["precision"], one["length"], *(f"{one['estimated_ms'][n]:.2f}" for n in names)]
        for one in sized
    ]
    print(table(["estimated ms of", "precision", "length", *names], rows))


def _error_row(one: dict[str, Any]) -> list[Any]:
    it = one["published"]
    numbers = [f"{it['milliseconds']:.2f}", f"{one['estimated_ms']:.2f}", f"{round(100 * one['error']):+d} %"]
    return [one["device"], it["model"], it["length"], f"{it['zeros']:.2f}", it["is"], *numbers]


def main(arguments: Sequence[str] | None = None) -> None:
    options = make_parser(__doc__).parse_args(arguments)
    devices = [device for device in map(load_device, device_names()) if device.estimate is not None]
    found, sized = errors(devices), sizes(devices)
    show(found, sized)
    write_result(options.results, "device_models", {"errors": found, "bert_base": sized})


if __name__ == "__main__":
    main()
