from __future__ import annotations

import getpass
import json
import platform
from pathlib import Path

from aebert.deployment.cpu import this_cpu
from aebert.profiling.machine import machine_facts


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
    assert facts["isa"] == (None if (sets := this_cpu().sets) is None else list(sets))
