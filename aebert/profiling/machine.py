"""What a measurement ran on, without names of hosts, users or folders. For boards too: Python 3.9, psutil or not."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import aebert
from aebert.deployment.cpu import this_cpu

try:
    import psutil
except ImportError:  # a board that only runs the exported file
    psutil = None  # type: ignore[assignment]

_LIBRARIES = ("torch", "transformers", "onnx", "onnxruntime", "numpy", "optuna")

if TYPE_CHECKING:
    Fact = str | int | list[str] | dict[str, str] | None


def machine_facts() -> dict[str, Fact]:
    """Processor, instruction sets, memory, system and versions, for reports.

    cores: logical cores that this process may use. cores_physical: None where the system doesn't say. isa: None where
    the system doesn't list instruction sets (Windows).
    """
    return {
        "cpu": _cpu_name(),
        "architecture": platform.machine(),
        "cores": _usable_cores(),
        "cores_physical": psutil.cpu_count(logical=False) if psutil else None,
        "isa": _instruction_sets(),
        "memory_bytes": _memory_bytes(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {"aebert": aebert.__version__, **_versions()},
    }


def _instruction_sets() -> list[str] | None:
    sets = this_cpu().sets
    return None if sets is None else list(sets)


def _cpu_name() -> str:
    if platform.system() == "Linux":
        # ARM's cpuinfo names the board, not the processor
        return _cpuinfo("model name") or _cpuinfo("Model") or platform.machine()
    if platform.system() == "Darwin":
        return _sysctl("-n", "machdep.cpu.brand_string").strip() or platform.machine()
    return platform.processor() or platform.machine()


def _cpuinfo(key: str) -> str | None:
    found = re.search(rf"^{key}\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    return found[1].strip() if found else None


def _sysctl(*arguments: str) -> str:
    done = subprocess.run(["sysctl", *arguments], capture_output=True, text=True, check=False)
    return done.stdout


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_bytes() -> int:
    if psutil:
        return int(psutil.virtual_memory().total)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _versions() -> dict[str, str]:
    found = {}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:  # a machine that only runs the exported file
            continue
    return found
