"""Numbers as text, each kind in one way everywhere."""

from __future__ import annotations

import math

from aebert.search.kinds import KINDS, Kind

MISSING = "–"
_BARS = "▁▂▃▄▅▆▇█"


def points(value: float | None) -> str:
    """A metric times 100 with one decimal."""
    return MISSING if value is None else f"{100 * value:.1f}"


def difference(value: float | None) -> str:
    """A difference of metrics in points with its sign; ±0.0 if it rounds to nothing."""
    if value is None or math.isnan(value):
        return MISSING
    text = f"{100 * value:+.1f}"
    return "±0.0" if text in ("+0.0", "-0.0") else text


def span(interval: tuple[float, float] | None) -> str:
    """An interval in points."""
    return MISSING if interval is None else f"{points(interval[0])}–{points(interval[1])}"


def percent(share: float | None) -> str:
    """A share in percent with one decimal."""
    return MISSING if share is None else f"{100 * share:.1f} %"


def budget(target: float | None, kind: str) -> str:
    """A budget as it was written, in the unit of its kind: `50 %`, `11M params`, `20 MB`, `10 ms`."""
    return MISSING if target is None else KINDS[kind].text(target)


def cost(value: float | None, kind: Kind) -> str:
    """A cost as its column shows it: `50.0 %`, `22.71` for parameters in millions, `17.40` MB, `9.87` ms."""
    if value is None:
        return MISSING
    shown = kind.factor * value
    text = significant(shown) if kind.decimals is None else f"{shown:.{kind.decimals}f}"
    return f"{text} %" if kind.is_share else text


def millions(count: int | None) -> str:
    """A count in millions with two decimals; the unit is the column's."""
    return MISSING if count is None else f"{count / 1e6:.2f}"


def megabytes(size_bytes: int | None) -> str:
    """A size in MB of 10^6 bytes with one decimal; the unit is the column's."""
    return MISSING if size_bytes is None else f"{size_bytes / 1e6:.1f}"


def significant(value: float | None, digits: int = 3) -> str:
    """A number to `digits` significant digits, never in exponent form; NaN and infinities by name."""
    if value is None:
        return MISSING
    if not math.isfinite(value):
        return str(value)
    magnitude = math.floor(math.log10(abs(value))) if value else 0
    return f"{value:.{max(0, digits - 1 - magnitude)}f}"


def bars(kept: tuple[int, ...], full: tuple[int, ...]) -> str:
    """One sign per block for the share kept: · for nothing, ▁ to ▇ for a part, █ only for all."""
    return "".join(_bar(count, most) for count, most in zip(kept, full, strict=True))


def _bar(count: int, most: int) -> str:
    if count == 0:
        return "·"
    return _BARS[-1] if count >= most else _BARS[min(6, 7 * count // most)]
