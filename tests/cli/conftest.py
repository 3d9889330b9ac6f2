"""The command line, called in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from aebert import cli


class Done(NamedTuple):
    """code: exit code; out, err: what was printed."""

    code: int
    out: str
    err: str


Aebert = Callable[..., Done]


@pytest.fixture
def aebert(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Aebert:
    """`aebert("profile", path, "--runs", 6)` as it would be typed; a command must end with an exit code."""

    def call(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["aebert", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        printed = capsys.readouterr()
        return Done(int(caught.value.code or 0), printed.out, printed.err)

    return call
