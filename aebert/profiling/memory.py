"""Load time and peak memory of one exported file, in a process that does nothing else.

`python -m aebert.profiling.memory FILE THREADS BATCH LENGTH` prints them as JSON; `measure_memory` runs that.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from aebert.deployment.opening import open_model
from aebert.errors import ExportError


@dataclass(frozen=True)
class Footprint:
    """What it takes to run a file.

    peak_memory_bytes: largest resident memory of the process; Python, NumPy and ONNX Runtime are part of it.
    baseline_memory_bytes: the same before the file was loaded. load_ms: time to make the session, with the file in the
    page cache.
    """

    peak_memory_bytes: int
    baseline_memory_bytes: int
    load_ms: float


def measure_memory(path: Path, *, threads: int, batch: int, length: int) -> Footprint:
    """Load and run `path` once on `[batch, length]` token ids in a fresh Python process.

    Raises: ExportError when the process fails, with the last line it wrote.
    """
    arguments = [str(path), str(threads), str(batch), str(length)]
    done = subprocess.run(
        [sys.executable, "-m", "aebert.profiling.memory", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        reason = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise ExportError(f"memory of {path.name} can't be measured: {reason}")
    return Footprint(**json.loads(done.stdout))


def peak_memory_bytes() -> int:
    """Largest resident memory of this process so far."""
    if sys.platform == "win32":
        import psutil  # imported only there, since it is part of what is measured

        return int(psutil.Process().memory_info().peak_wset)
    status = Path("/proc/self/status")
    # On Linux ru_maxrss is not below the memory of the process that started this one: exec doesn't reset it.
    peak = re.search(r"VmHWM:\s*(\d+) kB", status.read_text()) if status.exists() else None
    if peak:
        return int(peak[1]) * 1024
    import resource  # not on Windows

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024  # macOS counts bytes, others KiB


def footprint(files: Sequence[Path], load: Callable[[], Callable[[], object]]) -> Footprint:
    """What `load`, and then the function that it returns, take in this process; to be called once in a process.

    files: the files that loading reads. They are read once before, so that the disk is not part of the load time.
    """
    for path in files:
        _fill_page_cache(path)
    baseline = peak_memory_bytes()
    start = time.perf_counter()
    answer = load()
    load_ms = (time.perf_counter() - start) * 1000
    answer()
    return Footprint(peak_memory_bytes(), baseline, load_ms)


def _footprint(path: Path, threads: int, batch: int, length: int) -> Footprint:
    def load() -> Callable[[], object]:
        model = open_model(path, threads)
        ones = np.ones((batch, length), dtype=np.int64)
        zeros = np.zeros_like(ones)  # the one token type that every model has
        return lambda: model.logits({name: zeros if name == "token_type_ids" else ones for name in model.inputs})

    return footprint([path], load)


def _fill_page_cache(path: Path) -> None:
    if path.is_file():
        with path.open("rb") as file:
            while file.read(1 << 20):
                pass


def _main(arguments: list[str]) -> int:
    file, *numbers = arguments
    threads, batch, length = map(int, numbers)
    try:
        footprint = _footprint(Path(file), threads, batch, length)
    except ExportError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(asdict(footprint)))
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
