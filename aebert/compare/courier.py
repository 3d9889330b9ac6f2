"""What runs on a host at the other end of ssh: receive files, run a command on them, pass on its lines, clean up.

Its source is sent, as text, before everything else; so it imports nothing but the standard library, from Python 3.9 on.
Standard input brings one line of JSON, then the bytes of the files, and stays open. Its end means that nobody waits any
more (Ctrl-C, a lost connection), so the command is killed. Whatever happens, the folder that was made is removed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, BinaryIO

MARK = "aebert:"  # begins all of our lines, since a host's login scripts may print lines of their own
_CHUNK = 1 << 16


class _Refused(Exception):
    """Holds the line that the user is to read."""


def say(**line: Any) -> None:
    """Print one line for the program that waits."""
    print(MARK + json.dumps(line), flush=True)


def serve(stream: BinaryIO) -> None:
    """Do one job. Header: files [[name, bytes]], modules that must be importable, command (arguments after Python)."""
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGHUP, _leave)
    try:
        header = json.loads(stream.readline())
        _check_modules(header["modules"])
        with tempfile.TemporaryDirectory(prefix="aebert-") as folder:
            _check_space(Path(folder), sum(size for _, size in header["files"]))
            say(ready=True)
            for name, size in header["files"]:
                _receive(stream, Path(folder) / name, size)
            say(started=True)
            _run(stream, header["command"], Path(folder))
    except _Refused as refusal:
        say(error=str(refusal))
    except EOFError:  # nobody waits for an answer any more
        pass
    except OSError as error:
        say(error=f"can't work in {tempfile.gettempdir()}: {error.strerror or error}; TMPDIR names another folder")


def _leave(number: int, frame: object) -> None:
    raise EOFError


def _check_modules(modules: list[str]) -> None:
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise _Refused(
            f"{sys.executable} lacks {' and '.join(missing)}: {sys.executable} -m pip install {' '.join(missing)}"
        )


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise _Refused(
            f"{folder.parent} has {free / 1e6:.0f} MB free, {needed / 1e6:.0f} MB are needed; free some or set TMPDIR"
        )


def _receive(stream: BinaryIO, path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        while size:
            chunk = stream.read(min(_CHUNK, size))
            if not chunk:
                raise EOFError
            file.write(chunk)
            size -= len(chunk)
            say(received=len(chunk))


def _run(stream: BinaryIO, command: list[str], folder: Path) -> None:
    paths = [str(folder / "runner.zip"), *filter(None, [os.environ.get("PYTHONPATH")])]
    # ONNX Runtime leaves a file in TMPDIR: there it vanishes with the folder
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TMPDIR": str(folder)}
    with (folder / "stderr").open("w+b") as errors:
        child = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,  # so that what it starts can be killed with it
        )
        threading.Thread(target=_kill_at_end, args=(stream, child), daemon=True).start()
        try:
            assert child.stdout is not None
            for line in child.stdout:
                say(line=line.decode("utf-8", "replace"))
            code = child.wait()
        finally:
            _kill(child)
        errors.seek(0)
        last = errors.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
        say(exit=code, last=last)


def _kill_at_end(stream: BinaryIO, child: subprocess.Popen[bytes]) -> None:
    stream.read(1)
    _kill(child)


def _kill(child: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    child.wait()


if __name__ == "__main__":
    serve(sys.stdin.buffer)
    sys.stdout.flush()
    os._exit(0)  # not waiting for the thread that still reads
