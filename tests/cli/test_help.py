from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections import Counter
from functools import cache

import pytest
import typer.main

from aebert.cli import app
from aebert.cli.sections import SECTIONS

HELP = [sys.executable, "-c", "import sys; sys.argv = ['aebert', '--help']; from aebert.cli import main; main()"]
QUIET = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}


@cache
def _piped() -> str:
    return subprocess.run(HELP, capture_output=True, text=True, check=True, env=QUIET).stdout


def _on_a_terminal(columns: int) -> str:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    child = subprocess.Popen(HELP, stdin=theirs, stdout=theirs, stderr=theirs, env=QUIET)
    os.close(theirs)
    shown = b""
    while chunk := _read(ours):
        shown += chunk
    os.close(ours)
    assert child.wait() == 0
    return shown.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # on Linux the end of a terminal is an error
        return b""


def test_every_command_is_in_one_section() -> None:
    listed = Counter(name for names in SECTIONS.values() for name in names)
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert listed == Counter(list(commands))


def test_help_lists_the_commands_in_the_order_of_the_work() -> None:
    shown = _piped()
    titles = re.findall(r"^(\w.*):$", shown, re.MULTILINE)
    assert titles == ["Options", "Run and its stages", "Look at studies, tasks and spaces", "Measure", "Ship"]
    names = re.findall(r"^  ([a-z-]+) ", shown.partition("Run and")[2], re.MULTILINE)
    assert names == [name for section in SECTIONS.values() for name in section]
    # columns are as wide in every section
    assert len({len(found) for found in re.findall(r"^  [a-z-]+ +", shown.partition("Run and")[2], re.MULTILINE)}) == 1


def test_help_fits_80_columns_with_whole_sentences() -> None:
    shown = _piped()
    assert max(map(len, shown.splitlines())) <= 80
    assert "..." not in shown.partition("Options:")[2]


@pytest.mark.parametrize("columns", [80, 132])
def test_help_is_the_same_on_a_terminal_and_in_a_pipe(columns: int) -> None:
    assert _on_a_terminal(columns).rstrip() == _piped().rstrip()
