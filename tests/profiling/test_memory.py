from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aebert.errors import ExportError
from aebert.profiling.memory import measure_memory, peak_memory_bytes


def test_memory_of_this_process_does_not_count(classifier: Path) -> None:
    # Linux's ru_maxrss of a new process starts at that of its parent
    ballast = np.ones(60_000_000)
    assert peak_memory_bytes() > ballast.nbytes == 480_000_000
    footprint = measure_memory(classifier, threads=1, batch=1, length=8)
    assert 10_000_000 < footprint.baseline_memory_bytes < footprint.peak_memory_bytes < 300_000_000
    assert footprint.load_ms > 0


def test_larger_requests_take_more(classifier: Path) -> None:
    small = measure_memory(classifier, threads=1, batch=1, length=8)
    large = measure_memory(classifier, threads=1, batch=1000, length=1000)
    # logits [1000, 1000, 5] of 4 bytes
    assert large.peak_memory_bytes - small.peak_memory_bytes > 20_000_000


def test_a_damaged_file_is_one_line(classifier: Path) -> None:
    classifier.write_bytes(classifier.read_bytes()[:-20])
    with pytest.raises(
        ExportError, match=r"^memory of tiny.onnx can't be measured: .* must be a whole ONNX file"
    ) as caught:
        measure_memory(classifier, threads=1, batch=1, length=8)
    assert "\n" not in str(caught.value)
