"""Measure on another machine through the system's OpenSSH. Nothing stays behind there."""

from __future__ import annotations

import json
import queue
import re
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from aebert.compare import courier
from aebert.compare.archive import RUNNER, runner_archive
from aebert.compare.runner_output import Outcome, follow
from aebert.compare.ssh_errors import last_line, ssh_failure
from aebert.errors import ConfigError, HostError
from aebert.files import expand_user
from aebert.latency.devices import Device
from aebert.progress import SILENT, Progress

_MODULES = ("numpy", "onnxruntime")  # what the runner imports there, besides the standard library
_GOODBYE_S = 5.0  # time for the host to clean up before ssh is ended
_CHUNK = 1 << 16

# Any Python from 2.7 on understands this, so that one that is too old is reported as such, not as a syntax error.
_START = (
    "import sys; v=sys.version_info; v<(3,9) and sys.exit('aebert: Python %d.%d'%v[:2]); "
    "exec(sys.stdin.buffer.read({size}))"
)


@dataclass(frozen=True)
class Host:
    """A machine that ssh reaches without a password.

    address: `board` or `user@board`, as ssh takes it. python: command on the host, 3.9 or newer with ONNX Runtime; a
    leading `~/` is the home there. timeout: seconds without a sign of life (connecting, copying, one request) after
    which it is given up. config: ssh's configuration file, instead of ~/.ssh/config.
    """

    address: str
    port: int | None = None
    identity: Path | None = None
    python: str = "python3"
    timeout: float = 30.0
    config: Path | None = None

    def __post_init__(self) -> None:
        # a leading - would be an option of ssh
        if not re.fullmatch(r"[\w.][\w.@:%+-]*", self.address):
            raise ConfigError(f"a host must be written board or user@board, got {self.address!r}")
        if self.port is not None and not 1 <= self.port <= 65535:
            raise ConfigError(f"port must be from 1 to 65535, got {self.port}")
        if not self.timeout > 0:
            raise ConfigError(f"timeout must be above 0 seconds, got {self.timeout:g}")
        for name, path in (("identity", self.identity), ("ssh config", self.config)):
            if path is not None and not path.is_file():
                raise ConfigError(f"{name} must be a file, {path} is none")

    def ssh(self) -> list[str]:
        """The command by which a person would connect."""
        options = [] if self.config is None else ["-F", str(self.config)]
        options += [] if self.port is None else ["-p", str(self.port)]
        options += [] if self.identity is None else ["-i", str(self.identity), "-o", "IdentitiesOnly=yes"]
        return ["ssh", *options, self.address]


def host_arguments(device: Device) -> dict[str, Any]:
    """The arguments of `Host` that the file of a device with a host gives."""
    identity = device.identity and expand_user(device.identity)
    return {"address": device.host, "port": device.port, "identity": identity, "python": device.python}


def run_there(
    host: Host, job: Mapping[str, Any], files: Mapping[str, Path], progress: Progress = SILENT, *, runs: float = 0
) -> dict[str, Any]:
    """Copy `files` (name there → path here) to a new folder of the host, run the job on them, remove the folder.

    job: as the runner takes it, with those names as its paths. runs: number of runs on the progress bar.
    Returns: the runner's result.
    Raises: HostError when the host can't be reached, isn't trusted, lacks something or is lost; ExportError and
        ModelError are HostErrors here, since they arise there.
    """
    with tempfile.TemporaryDirectory(prefix="aebert-") as folder:
        own = {"runner.zip": runner_archive(), "job.json": json.dumps(job).encode()}
        for name, content in own.items():
            (Path(folder) / name).write_bytes(content)
        sent = {**{name: Path(folder) / name for name in own}, **files}
        with _connected(host) as connection:
            return connection.measure(sent, ["-m", RUNNER, "job.json"], progress, runs)


@contextmanager
def _connected(host: Host) -> Iterator[_Connection]:
    if shutil.which("ssh") is None:
        raise HostError("ssh must be installed to measure on another host: install OpenSSH's client")
    connection = _Connection(host)
    try:
        yield connection
    finally:
        connection.close()


class _Connection:
    """One ssh process with the courier at its other end."""

    def __init__(self, host: Host) -> None:
        self.host, self.stage = host, "connecting"
        self._said = tempfile.TemporaryFile()
        self._source = Path(courier.__file__).read_bytes()
        remote = f"{_quoted(host.python)} -c {shlex.quote(_START.format(size=len(self._source)))}"
        self._process = subprocess.Popen(
            [*self._command(), "--", remote],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            start_new_session=True,  # Ctrl-C is for us alone: ssh has to live until the host has cleaned up
        )
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        self._sender: threading.Thread | None = None
        self._listener = threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True)
        self._listener.start()

    def _command(self) -> list[str]:
        alive = max(1, int(self.host.timeout / 3))
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": max(1, int(self.host.timeout)),
            "ServerAliveInterval": alive,
            "ServerAliveCountMax": 3,
            "ForwardX11": "no",
            "ForwardAgent": "no",
            "ClearAllForwardings": "yes",
            "PermitLocalCommand": "no",
        }
        ssh, *rest, address = self.host.ssh()
        return [
            ssh,
            "-v",
            "-T",
            *rest,
            *(part for key, value in options.items() for part in ("-o", f"{key}={value}")),
            address,
        ]

    def _listen(self, stream: IO[bytes]) -> None:
        for line in stream:
            if line.startswith(courier.MARK.encode()):
                self._lines.put(line[len(courier.MARK) :])
        self._lines.put(None)

    def measure(
        self, files: Mapping[str, Path], command: Sequence[str], progress: Progress, runs: float
    ) -> dict[str, Any]:
        sizes = {name: path.stat().st_size for name, path in files.items()}
        header = {"files": list(sizes.items()), "modules": _MODULES, "command": list(command)}
        self._write(self._source + json.dumps(header).encode() + b"\n")
        self._expect("ready")
        self.stage = "copying"
        total = sum(sizes.values())
        self._sender = threading.Thread(target=self._send, args=(list(files.values()),), daemon=True)
        self._sender.start()
        with progress.bar(f"copy to {self.host.address} (MB)", round(total / 1e6, 1)) as bar:
            while "received" in (line := self._next()):
                bar.advance(line["received"] / 1e6)
        self.stage = "starting"
        outcome = Outcome()
        follow(self._runner_lines(outcome), outcome, progress, runs)
        return self._result(outcome)

    def _runner_lines(self, outcome: Outcome) -> Iterator[str]:
        while "line" in (line := self._next()):
            yield line["line"]
            self.stage = outcome.stage
        outcome.code, outcome.last = line["exit"], line["last"]

    def _result(self, outcome: Outcome) -> dict[str, Any]:
        if outcome.result is not None:
            return outcome.result
        if outcome.error is None and outcome.code < 0:
            raise self._error(f"the measuring was killed there (signal {-outcome.code}): too little memory?")
        raise self._error(outcome.error or outcome.last or f"the runner stopped with exit code {outcome.code}")

    def _send(self, files: Sequence[Path]) -> None:
        for path in files:
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    if not self._write(chunk):
                        return

    def _write(self, data: bytes) -> bool:
        """Whether ssh took the data. If not, its output ends too, and whoever reads that reports the error."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except (OSError, ValueError):
            return False
        return True

    def _expect(self, key: str) -> None:
        # ssh has a time limit of its own for connecting, and says better what went wrong
        line = self._next(extra=2.0)
        assert key in line, line

    def _next(self, extra: float = 0.0) -> dict[str, Any]:
        try:
            text = self._lines.get(timeout=self.host.timeout + extra)
        except queue.Empty:
            self._process.terminate()  # it won't answer a goodbye either
            raise self._error(
                f"no sign of life for {self.host.timeout:g} s while {self.stage}: it is too slow, or gone; a longer "
                "--timeout waits for it"
            ) from None
        if text is None:
            raise self._error(self._why_ended())
        line: dict[str, Any] = json.loads(text)
        if "error" in line:
            raise self._error(line["error"])
        return line

    def _why_ended(self) -> str:
        code = self._process.wait()
        self._said.seek(0)
        said = self._said.read().decode("utf-8", "replace")
        old = re.search(r"aebert: (Python [\d.]+)", said)
        if old:
            return f"{self.host.python} there is {old[1]}, 3.9 is needed: name another with --python"
        if code in (126, 127):
            return f"{self.host.python} can't be run there: install Python 3.9 or newer, or name it with --python"
        if code != 255:
            return f"{self.host.python} stopped there: {last_line(said) or f'exit code {code}'}"
        if self.stage != "connecting" or "debug1: Sending command" in said:
            return f"the connection was lost while {self.stage}: try again"
        return ssh_failure(said, timeout=self.host.timeout, accept=self.host.ssh())

    def _error(self, message: str) -> HostError:
        return HostError(f"{self.host.address}: {message}")

    def close(self) -> None:
        """End of input tells the courier to clean up; then ssh ends by itself."""
        if self._sender is not None and self._sender.is_alive():  # it waits in a write that only the end of ssh ends
            self._process.terminate()
            self._sender.join(_GOODBYE_S)
        with suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            self._process.wait(_GOODBYE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join()  # ends with ssh's output
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._said.close()


def _quoted(python: str) -> str:
    """The command, quoted for the shell there, which still replaces a leading `~/`."""
    home, rest = ("~/", python[2:]) if python.startswith("~/") else ("", python)
    return home + shlex.quote(rest)
