"""Device files: boards that are measured, here or over ssh, and boards that are only estimated."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from aebert.config import THIS_DEVICE
from aebert.errors import ConfigError
from aebert.files import expand_user
from aebert.latency.estimators import ESTIMATORS, Estimator, Precision
from aebert.latency.references import REFERENCE_SHAPES
from aebert.registry import nearest
from aebert.sections import Positive, Section, check, read_yaml

BOARDS = Path(__file__).parent / "boards"
_HOST = re.compile(r"^(?:[A-Za-z0-9_][\w.-]*@)?[A-Za-z0-9\[][\w.:\]-]*$", re.ASCII)


class Published(Section):
    """A time that somebody else gives for the device.

    is: `measured`, or `stated` where it was computed there. model: one of the reference models. zeros: share of the
    weights that are set to zero while all shapes stay dense. caveat: what the source leaves open.
    """

    model: str
    milliseconds: Annotated[float, Field(gt=0)]
    nature: Annotated[Literal["measured", "stated"], Field(alias="is")]
    length: Positive
    batch: Positive = 1
    precision: Precision = "float32"
    zeros: Annotated[float, Field(ge=0, lt=1)] = 0.0
    source: str
    caveat: str = ""

    @field_validator("model")
    @classmethod
    def _is_known(cls, model: str) -> str:
        _ = REFERENCE_SHAPES[model]
        return model


class Device(Section):
    """A YAML file that describes a board. Exactly one of `host`, `this` and `estimate` says where times come from.

    host: the board is measured over ssh: `user@board`, or a name of the ssh configuration. port, identity: of the
      connection; by default as ssh's configuration says. python: the interpreter there. threads: of the measurement.
    this: the device is the machine that this runs on.
    estimate: an estimator: its `kind`, and its parameters, whose names end in their units.
    source, assumptions: where the parameters come from, and what is assumed because it isn't known.
    published: times that others give, against which the estimate's error is computed.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    description: str = ""
    source: str = ""
    assumptions: tuple[str, ...] = ()
    host: str | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    identity: Path | None = None
    python: str = "python3"
    threads: Positive = 1
    this: bool = False
    estimate: SerializeAsAny[Estimator] | None = None
    published: tuple[Published, ...] = ()

    @field_validator("host")
    @classmethod
    def _host_is_no_option(cls, host: str | None) -> str | None:
        if host is not None and not _HOST.match(host):
            raise ValueError("must be user@board, board or an address, without spaces and options")
        return host

    @field_validator("estimate", mode="before")
    @classmethod
    def _by_kind(cls, values: Any) -> Any:
        if values is None or isinstance(values, Estimator):
            return values
        if not isinstance(values, Mapping) or "kind" not in values:
            raise ValueError(f"must be a mapping with kind, one of {', '.join(ESTIMATORS)}")
        kind = str(values["kind"])
        return check(ESTIMATORS[kind], {key: value for key, value in values.items() if key != "kind"}, f"kind {kind}")

    @model_validator(mode="after")
    def _one_way(self) -> Device:
        ways = {"host": self.host is not None, THIS_DEVICE: self.this, "estimate": self.estimate is not None}
        given = [name for name, there in ways.items() if there]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(ways)}, got {' and '.join(given) or 'none'}")
        if self.estimate is not None and not self.source:
            raise ValueError("an estimate must name the source of its parameters: add source")
        if self.estimate is None and self.published:
            raise ValueError("published belongs to an estimate; remove it")
        return self

    @property
    def way(self) -> str:
        """Where times come from, in words."""
        if self.estimate is not None:
            return f"estimate ({self.kind})"
        return f"measured on {self.host}" if self.host else "measured here"

    @property
    def kind(self) -> str | None:
        """Name of the estimator; None where times are measured."""
        return next((name for name in ESTIMATORS if type(self.estimate) is ESTIMATORS[name]), None)


def device_names() -> list[str]:
    """Names of the devices that come with the package, `this` first."""
    return [THIS_DEVICE, *sorted(path.stem for path in BOARDS.glob("*.yaml"))]


def load_device(name: str, also: str = "") -> Device:
    """A device by its name, or by the path of a YAML file; `this` is the machine this runs on.

    also: what else the user may give there; it is added to the error about an unknown name.

    Raises: ConfigError, one line with the file, the key, the rule and the value.
    """
    if name == THIS_DEVICE:
        return Device(name=THIS_DEVICE, description="the machine this runs on", this=True)
    is_file = name.endswith((".yaml", ".yml"))
    path = expand_user(name) if is_file else BOARDS / f"{name}.yaml"
    if not path.is_file():
        known = device_names()
        hint = "" if is_file else nearest(name, known)
        raise ConfigError(f"device {name!r} does not exist{hint}; known: {', '.join(known)}, or a .yaml file{also}")
    values = read_yaml(path, "device")
    values.setdefault("name", path.stem)
    return check(Device, values, str(path) if is_file else path.name)


def estimator_of(device: Device) -> Estimator:
    """The estimator of a device. Raises: ConfigError when the device is measured, not estimated."""
    if device.estimate is None:
        raise ConfigError(f"device {device.name!r} is {device.way}, so it has no estimate: measure it with a profile")
    return device.estimate
