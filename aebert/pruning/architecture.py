"""How many units each block keeps."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from aebert.errors import ConfigError
from aebert.models.shape import ModelShape


@dataclass(frozen=True)
class Architecture:
    """Heads kept per attention block and neurons kept per FFN block. A block with 0 units becomes its output bias."""

    heads: tuple[int, ...]
    ffn: tuple[int, ...]

    def __post_init__(self) -> None:
        for name in ("heads", "ffn"):
            for index, count in enumerate(getattr(self, name)):
                if not isinstance(count, int) or isinstance(count, bool) or count < 0:
                    raise ConfigError(f"{name}[{index}] must be a whole number ≥ 0, got {count!r}")

    @classmethod
    def dense(cls, shape: ModelShape) -> Architecture:
        """The architecture that keeps everything."""
        return cls(shape.heads, shape.ffn)

    def check(self, shape: ModelShape) -> Architecture:
        """Return self, or raise `ConfigError` if it does not fit `shape`."""
        for name in ("heads", "ffn"):
            mine, full = getattr(self, name), getattr(shape, name)
            if len(mine) != len(full):
                raise ConfigError(f"{name} must have {len(full)} blocks as the model has, got {len(mine)}")
            for index, (count, most) in enumerate(zip(mine, full, strict=True)):
                if count > most:
                    raise ConfigError(f"{name}[{index}] must be in 0..{most}, got {count}")
        return self

    def to_dict(self) -> dict[str, list[int]]:
        """Plain values, for JSON; `from_dict` is the inverse."""
        return {"heads": list(self.heads), "ffn": list(self.ffn)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Architecture:
        """Inverse of `to_dict`."""
        return cls(tuple(values["heads"]), tuple(values["ffn"]))

    def key(self) -> str:
        """Short name that identifies the architecture: 10 hex digits of the SHA-256 of its JSON."""
        return hashlib.sha256(json.dumps(self.to_dict()).encode()).hexdigest()[:10]
