"""The command line: parse, call one function, print. Heavy imports wait until a command needs them."""

from __future__ import annotations

import errno
import sys

# they add their commands
from aebert.cli import best, bundles, compare, dashboard, devices, explain, latency_tables, measure, stages, studies  # noqa: F401
from aebert.cli.app import app, echo
from aebert.cli.number_lists import check_spelling
from aebert.errors import AebertError

__all__ = ["app", "main"]

INTERRUPTED = 130  # exit code after Ctrl-C: 128 + SIGINT, as shells have it
REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)  # of the disk or the system, which a user can mend


def main() -> None:
    """Run a command; a user's error is one line and exit code 2, Ctrl-C is exit code 130."""
    try:
        check_spelling(sys.argv[1:])
        app()
    except AebertError as error:
        _fail(str(error))
    except (KeyboardInterrupt, SystemExit) as stop:
        # typer turns Ctrl-C inside a command into exit code 130, without a word
        if isinstance(stop, SystemExit) and stop.code != INTERRUPTED:
            raise
        echo("interrupted: what was finished is kept; run the same command to go on", err=True)
        sys.exit(INTERRUPTED)
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        what = "read or written" if error.errno == errno.EACCES else "written"
        _fail(f"{error.filename or 'a file'} can't be {what}: {error.strerror}; what was finished is kept")


def _fail(message: str) -> None:
    echo(f"aebert: error: {' '.join(message.split())}", err=True)
    sys.exit(2)
