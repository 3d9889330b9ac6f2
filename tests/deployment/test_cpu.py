from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import Any

import pytest

from aebert.deployment.cpu import Cpu, from_cpuinfo, from_sysctl, instruction_sets, this_cpu

XEON = "processor : 0\nflags\t\t: fpu sse4_2 avx2 avx512f avx512_vnni avx512_bf16 amx_bf16 amx_tile amx_int8\n"
HASWELL = "processor : 0\nflags\t\t: fpu sse4_2 avx avx2 fma\n"
ALDER_LAKE = "flags\t\t: avx2 avx_vnni\n"
SKYLAKE_X = "flags\t\t: avx2 avx512f avx512bw\n"
PI_5 = "processor : 0\nBogoMIPS : 108.00\nFeatures\t: fp asimd evtstrm aes asimddp cpuid\nCPU part : 0xd0b\n"
PI_4 = "Features\t: fp asimd evtstrm crc32 cpuid\n"
GRAVITON = "Features\t: fp asimd asimddp sve i8mm bf16\n"
M2 = "hw.optional.arm.FEAT_DotProd: 1\nhw.optional.arm.FEAT_I8MM: 1\nhw.optional.arm.FEAT_SVE: 0\n"
M2 += "hw.optional.neon: 1\nhw.optional.arm.FEAT_BF16: 1\n"
INTEL_MAC = "hw.optional.avx2_0: 1\nmachdep.cpu.features: FPU SSE4.2\nmachdep.cpu.leaf7_features: AVX2 AVX512F\n"


@pytest.mark.parametrize(
    ("text", "architecture", "line", "products", "reduced"),
    [
        (
            XEON,
            "x86_64",
            "AVX-512 VNNI, AVX-512 bf16, AMX int8, AMX bf16: int8 products in one instruction",
            True,
            False,
        ),
        (HASWELL, "x86_64", "AVX2: no int8 dot product, weights to 7 bits", False, True),
        (SKYLAKE_X, "AMD64", "AVX-512: no int8 dot product, weights to 7 bits", False, True),
        (ALDER_LAKE, "x86_64", "AVX2, AVX-VNNI: int8 products in one instruction", True, False),
        (PI_5, "aarch64", "NEON dot product: int8 products in one instruction", True, False),
        (PI_4, "aarch64", "NEON: no int8 dot product", False, False),
        (
            GRAVITON,
            "aarch64",
            "NEON dot product, NEON i8mm, NEON bf16, SVE: int8 products in one instruction",
            True,
            False,
        ),
        ("flags\t: fpu sse2\n", "x86_64", "x86_64: no int8 dot product, weights to 7 bits", False, True),
    ],
)
def test_processors_by_their_cpuinfo(text: str, architecture: str, line: str, products: bool, reduced: bool) -> None:
    found = from_cpuinfo(text, architecture)
    assert found.describe() == line
    assert found.has_int8_products is products
    assert found.needs_reduced_range is reduced


def test_a_name_counts_as_a_whole() -> None:
    assert instruction_sets("avx avx20") == ()


def test_only_what_all_cores_have_counts() -> None:
    found = from_cpuinfo("Features\t: asimd asimddp i8mm\nother : 1\nFeatures\t: asimd asimddp\n", "aarch64")
    assert found.sets == ("neon", "neon_dotprod")


def test_macs() -> None:
    assert from_sysctl(M2, "arm64").sets == ("neon", "neon_dotprod", "neon_i8mm", "neon_bf16")
    assert from_sysctl(INTEL_MAC, "x86_64").sets == ("avx2", "avx512f")


def test_a_system_that_lists_nothing_is_not_one_without_instructions() -> None:
    windows = Cpu("AMD64", None)
    assert windows.describe() == "AMD64: instruction sets not listed by this system"
    assert windows.needs_reduced_range, "right everywhere, at the cost of one bit"
    assert not windows.has_int8_products
    assert from_cpuinfo("processor : 0\n", "riscv64").sets is None


def test_a_set_must_be_known() -> None:
    with pytest.raises(ValueError, match=r"must be of avx2, .*, got avx3$"):
        Cpu("x86_64", ("avx2", "avx3"))


@pytest.mark.parametrize(("system", "expected"), [("Windows", None), ("Darwin", ("neon", "neon_dotprod"))])
def test_each_system_is_asked_its_way(
    system: str, expected: tuple[str, ...] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sysctl(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        assert command == ["sysctl", "hw.optional", "machdep.cpu"]
        return subprocess.CompletedProcess(command, 1, "hw.optional.AdvSIMD: 1\nhw.optional.arm.FEAT_DotProd: 1\n")

    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("subprocess.run", sysctl)
    assert this_cpu().sets == expected


@pytest.mark.skipif(platform.system() != "Linux", reason="reads /proc/cpuinfo")
def test_this_machine() -> None:
    words = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    found = this_cpu()
    assert found.architecture == platform.machine()
    for name in ("avx2", "avx512_vnni", "amx_int8"):
        assert (name in (found.sets or ())) == (name in words)
