"""The instruction sets of a processor that decide how fast an int8 file runs, and whether its results are right."""

from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

# Our name → as printed, and its names in /proc/cpuinfo (x86: flags, ARM: Features) and in macOS's sysctl.
_SETS: dict[str, tuple[str, tuple[str, ...]]] = {
    "avx2": ("AVX2", ("avx2",)),
    "avx512f": ("AVX-512", ("avx512f",)),
    "avx512_vnni": ("AVX-512 VNNI", ("avx512_vnni", "avx512vnni")),
    "avx_vnni": ("AVX-VNNI", ("avx_vnni", "avxvnni")),
    "avx512_bf16": ("AVX-512 bf16", ("avx512_bf16",)),
    "amx_int8": ("AMX int8", ("amx_int8",)),
    "amx_bf16": ("AMX bf16", ("amx_bf16",)),
    "neon": ("NEON", ("asimd", "neon", "advsimd", "feat_advsimd")),
    "neon_dotprod": ("NEON dot product", ("asimddp", "feat_dotprod")),
    "neon_i8mm": ("NEON i8mm", ("i8mm", "feat_i8mm")),
    "neon_bf16": ("NEON bf16", ("bf16", "feat_bf16")),
    "sve": ("SVE", ("sve", "feat_sve")),
}
# Sets with an instruction that multiplies four pairs of int8 and adds the products to an int32.
_INT8_PRODUCTS = ("avx512_vnni", "avx_vnni", "amx_int8", "neon_dotprod", "neon_i8mm")
# Sets that are not printed where one of these wider sets is there too.
_IMPLIED = {"avx2": ("avx512f",), "avx512f": ("avx512_vnni",), "neon": ("neon_dotprod",)}


@dataclass(frozen=True)
class Cpu:
    """What matters of a processor for int8.

    architecture: as `platform.machine()` names it. sets: our names of its instruction sets; None where the system
    does not list them (Windows), which is not the same as having none.
    """

    architecture: str
    sets: tuple[str, ...] | None

    def __post_init__(self) -> None:
        unknown = set(self.sets or ()) - _SETS.keys()
        if unknown:
            raise ValueError(f"instruction sets must be of {', '.join(_SETS)}, got {', '.join(sorted(unknown))}")

    @property
    def has_int8_products(self) -> bool:
        """Whether one instruction adds four int8 products; False where that is not known."""
        return any(name in _INT8_PRODUCTS for name in self.sets or ())

    @property
    def needs_reduced_range(self) -> bool:
        """Whether products of 8-bit weights can overflow, so that weights must have 7 bits.

        x86 without VNNI multiplies uint8 by int8 with `vpmaddubsw`, which adds two products in 16 bits and saturates:
        2 · 255 · 127 is more than 32767. ARM's instructions don't. An x86 with unknown sets is taken to overflow.
        """
        x86 = self.architecture.lower() in ("x86_64", "amd64", "i386", "i686")
        return x86 and not self.has_int8_products

    def describe(self) -> str:
        """One line for tables: `AVX-512 VNNI, AMX int8: int8 products in one instruction`."""
        if self.sets is None:
            return f"{self.architecture}: instruction sets not listed by this system"
        shown = [name for name in self.sets if not set(_IMPLIED.get(name, ())) & set(self.sets)]
        names = ", ".join(_SETS[name][0] for name in shown) or self.architecture
        if self.has_int8_products:
            return f"{names}: int8 products in one instruction"
        cost = ", weights to 7 bits" if self.needs_reduced_range else ""
        return f"{names}: no int8 dot product{cost}"


def this_cpu() -> Cpu:
    """The processor of this machine."""
    return Cpu(platform.machine(), _listed())


def instruction_sets(listed: str) -> tuple[str, ...]:
    """Our names of the instruction sets in a list of flags (`/proc/cpuinfo` of x86 or ARM, sysctl of macOS)."""
    words = set(listed.lower().split())
    return tuple(name for name, (_, aliases) in _SETS.items() if words & set(aliases))


def from_cpuinfo(text: str, architecture: str) -> Cpu:
    """The processor that a `/proc/cpuinfo` describes.

    Cores may differ (big.LITTLE). Only what all of them have counts, since threads move between them.
    """
    found = re.findall(r"^(?:flags|Features)\s*: (.*)$", text, re.MULTILINE)
    return Cpu(architecture, _common(map(instruction_sets, found)) if found else None)


def from_sysctl(text: str, architecture: str) -> Cpu:
    """The processor that macOS's `sysctl hw.optional machdep.cpu` describes."""
    optional = re.findall(r"hw\.optional\.(?:arm\.)?(\w+): 1$", text, re.MULTILINE)
    intel = re.findall(r"machdep\.cpu\.\w*features: (.*)$", text, re.MULTILINE)
    return Cpu(architecture, instruction_sets(" ".join([*optional, *intel])))


def _listed() -> tuple[str, ...] | None:
    if platform.system() == "Linux":
        return from_cpuinfo(Path("/proc/cpuinfo").read_text(encoding="utf-8"), platform.machine()).sets
    if platform.system() == "Darwin":
        # an Apple processor has no machdep.cpu features: sysctl then fails, but still prints the rest
        done = subprocess.run(["sysctl", "hw.optional", "machdep.cpu"], capture_output=True, text=True, check=False)
        return from_sysctl(done.stdout, platform.machine()).sets
    return None


def _common(per_core: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    first, *others = per_core
    return tuple(name for name in first if all(name in other for other in others))
