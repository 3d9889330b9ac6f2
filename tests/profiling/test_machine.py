from __future__ import annotations

import getpass
import json
import platform
from pathlib import Path

import pytest

from aebert.profiling.machine import instruction_sets, machine_facts


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("fpu sse4_2 avx2 avx512f avx512_vnni avx512_bf16 amx_int8", "avx2 avx512f avx512_vnni avx512_bf16 amx_int8"),
        ("fp asimd evtstrm aes asimddp", "neon neon_dotprod"),  # a Raspberry Pi 5
        ("FEAT_AdvSIMD FEAT_DotProd FEAT_I8MM FEAT_BF16", "neon neon_dotprod neon_i8mm neon_bf16"),  # an Apple M2
        ("avx avx20", ""),
    ],
)
def test_instruction_sets(listed: str, expected: str) -> None:
    assert instruction_sets(listed) == expected.split()


def test_facts_tell_the_machine_and_not_whose_it_is() -> None:
    facts = machine_facts()
    text = json.dumps(facts)
    for private in (platform.node(), str(Path.home()), getpass.getuser()):
        assert not private or f'"{private}"' not in text
    assert isinstance(facts["cores"], int)
    assert facts["cores"] >= 1
    assert isinstance(facts["memory_bytes"], int)
    assert facts["memory_bytes"] > 2**28
    assert isinstance(facts["versions"], dict)
    assert {"aebert", "onnxruntime", "torch"} <= facts["versions"].keys()
    assert facts["python"] == platform.python_version()
