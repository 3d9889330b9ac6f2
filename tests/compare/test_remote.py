from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from aebert.compare.comparison import Comparison, Settings, compare
from aebert.compare.remote import Host, run_there
from aebert.compare.targets import Target, opened
from aebert.errors import ConfigError, HostError


@dataclass(frozen=True)
class Board:
    """A real sshd on loopback that lets this user in by a key. temporary: its TMPDIR. server: its process id."""

    host: Host
    folder: Path
    temporary: Path
    server: int

    def left_behind(self) -> list[str]:
        return [path.name for path in self.temporary.iterdir()]

    def configure(self, name: str, **options: str) -> Path:
        """An ssh configuration like the board's with other options."""
        base = {
            "UserKnownHostsFile": str(self.folder / "known_hosts"),
            "GlobalKnownHostsFile": "/dev/null",
            "IdentityAgent": "none",
        }
        path = self.folder / name
        path.write_text("\n".join(f"{key} {value}" for key, value in {**base, **options}.items()) + "\n")
        return path


def keygen(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


def free_port() -> int:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return int(chosen.getsockname()[1])


def _sshd_config(folder: Path, port: int, temporary: Path) -> str:
    return f"""
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
SetEnv TMPDIR={temporary} PYTHONPATH= PYTHONDONTWRITEBYTECODE=1
"""


def _sshd() -> str:
    found = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin")
    if found is None:
        pytest.skip("no sshd on this machine: install openssh-server")
    return found


@pytest.fixture(scope="session")
def running_board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    daemon, folder = _sshd(), tmp_path_factory.mktemp("board")
    temporary, port = folder / "temporary", free_port()
    temporary.mkdir()
    user_key = keygen(folder / "user_key")
    host_key = keygen(folder / "host_key").with_suffix(".pub").read_text()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd refuses to start as root without
    config = _sshd_config(folder, port, temporary)
    # from 9.8 on sshd shuts out addresses whose log-ins fail; older ones don't know the option
    (folder / "sshd_config").write_text(f"{config}PerSourcePenalties no\n")
    if subprocess.run([daemon, "-t", "-f", str(folder / "sshd_config")], capture_output=True, check=False).returncode:
        (folder / "sshd_config").write_text(config)
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([daemon, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=log)
        _wait_for(port, server, folder / "log")
        user = getpass.getuser()
        board = Board(
            Host(address=f"{user}@127.0.0.1", port=port, identity=user_key, python=sys.executable),
            folder,
            temporary,
            server.pid,
        )
        yield replace(board, host=replace(board.host, config=board.configure("ssh_config")))
        server.terminate()
        server.wait()


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(200):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if server.poll() is not None:
            break
        time.sleep(0.05)
    raise RuntimeError(f"sshd did not start: {log.read_text()}")


@pytest.fixture
def board(running_board: Board) -> Board:
    assert running_board.left_behind() == []
    return running_board


SMALL = Settings(lengths=(8, 16), batches=(1, 2), threads=(1,), runs=6, warmup=1)


def measured(path: Path, host: Host | None, settings: Settings = SMALL) -> Comparison:
    with opened([path]) as targets:
        return compare(targets, settings, host=host)


def refused(path: Path, host: Host) -> str:
    """The one line that a user reads."""
    with pytest.raises(HostError) as caught:
        measured(path, host)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_host_answers_as_this_machine_does(board: Board, classifier: Path) -> None:
    here, there = measured(classifier, None).to_dict(), measured(classifier, board.host).to_dict()
    assert there.keys() == here.keys()
    for one, other in zip(here["cells"], there["cells"], strict=True):
        assert one.keys() == other.keys()
        shape = ("target", "threads", "batch_size", "length", "runs")
        assert [one[key] for key in shape] == [other[key] for key in shape]
        assert 0 < other["p50_ms"] <= other["p90_ms"] <= other["p99_ms"]
    assert [cell["length"] for cell in there["cells"]] == [8, 16, 8, 16]
    assert there["settings"] == here["settings"]
    assert there["machine"] == here["machine"]
    assert there["targets"][0]["size_bytes"] == classifier.stat().st_size
    assert there["targets"][0]["peak_memory_bytes"] > 10_000_000
    assert board.left_behind() == []


def test_a_changed_host_key(board: Board, classifier: Path) -> None:
    other = keygen(board.folder / f"other_{time.monotonic_ns()}").with_suffix(".pub").read_text()
    known = board.folder / "changed_known_hosts"
    known.write_text(f"[127.0.0.1]:{board.host.port} {other}")
    config = board.configure("changed_config", UserKnownHostsFile=str(known))
    line = refused(classifier, replace(board.host, config=config))
    sent = subprocess.run(
        ["ssh-keygen", "-lf", str(board.folder / "host_key.pub")], capture_output=True, text=True, check=True
    )
    assert f"its host key changed: it now sends ssh-ed25519 {sent.stdout.split()[1]}, {known} holds another" in line
    assert f"ssh-keygen -f {known} -R '[127.0.0.1]:{board.host.port}'" in line
    assert f"connecting: ssh -F {config} -p {board.host.port}" in line
    assert known.read_text() == f"[127.0.0.1]:{board.host.port} {other}"


def test_an_unknown_host_key(board: Board, classifier: Path) -> None:
    known = board.folder / "empty_known_hosts"
    known.write_text("")
    config = board.configure("unknown_config", UserKnownHostsFile=str(known))
    line = refused(classifier, replace(board.host, config=config))
    assert "its host key ssh-ed25519 SHA256:" in line
    assert "is unknown: compare it with the host's own, then accept it by connecting: ssh -F" in line
    assert known.read_text() == ""


def test_a_wrong_identity(board: Board, classifier: Path) -> None:
    key = keygen(board.folder / f"stranger_{time.monotonic_ns()}")
    line = refused(classifier, replace(board.host, identity=key))
    assert "authentication failed (it takes publickey)" in line
    assert "--identity" in line


def test_a_private_key_that_others_may_read(board: Board, classifier: Path) -> None:
    assert board.host.identity is not None
    key = Path(shutil.copy(board.host.identity, board.folder / "open_key"))
    key.chmod(0o644)
    assert "chmod 600" in refused(classifier, replace(board.host, identity=key))


def test_a_closed_port(board: Board, classifier: Path) -> None:
    line = refused(classifier, replace(board.host, port=free_port()))
    assert "127.0.0.1: nothing listens on that port: is sshd running there, is --port right?" in line


def test_no_such_host(board: Board, classifier: Path) -> None:
    line = refused(classifier, replace(board.host, address="nobody@no-such-host.invalid"))
    assert "no host is called no-such-host.invalid" in line


@contextmanager
def listening(answer: bytes | None) -> Iterator[int]:
    """A server that accepts, says something (or nothing, None) and never more."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept: list[socket.socket] = []

        def accept() -> None:
            try:
                while True:
                    connection, _ = server.accept()
                    kept.append(connection)
                    if answer is not None:
                        connection.sendall(answer)
                        connection.close()
            except OSError:
                return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        for connection in kept:
            connection.close()
        thread.join(5)


def test_a_host_that_never_answers(board: Board, classifier: Path) -> None:
    with listening(None) as port:
        line = refused(classifier, replace(board.host, port=port, timeout=1.0))
    assert "it did not answer within 1 s" in line
    assert "--timeout" in line


def test_a_server_that_is_no_sshd(board: Board, classifier: Path) -> None:
    with listening(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        line = refused(classifier, replace(board.host, port=port, timeout=5.0))
    assert "the connection was closed: is that an SSH server" in line


def test_no_python_there(board: Board, classifier: Path) -> None:
    line = refused(classifier, replace(board.host, python="/opt/no/python3"))
    assert "/opt/no/python3 can't be run there: install Python 3.9 or newer, or name it with --python" in line


def fake_python(folder: Path, script: str) -> str:
    path = folder / f"python_{time.monotonic_ns()}"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_an_old_python_there(board: Board, classifier: Path, tmp_path: Path) -> None:
    # the first statement of what is sent decides, so a stand-in may answer it
    old = fake_python(tmp_path, "echo 'aebert: Python 3.7' >&2; exit 1")
    assert "there is Python 3.7, 3.9 is needed: name another with --python" in refused(
        classifier, replace(board.host, python=old)
    )


def test_python_there_lacks_onnxruntime(board: Board, classifier: Path, tmp_path: Path) -> None:
    bare = fake_python(tmp_path, f'exec {Path(sys.base_prefix) / "bin" / "python3"} -I -S "$@"')
    line = refused(classifier, replace(board.host, python=bare))
    assert "lacks numpy and onnxruntime" in line
    assert "-m pip install numpy onnxruntime" in line
    assert board.left_behind() == []


def test_login_scripts_that_talk_do_not_matter(board: Board, classifier: Path, tmp_path: Path) -> None:
    talking = fake_python(tmp_path, f'echo "Welcome to the board"; exec {sys.executable} "$@"')
    found = measured(classifier, replace(board.host, python=talking))
    assert len(found.cells) == 4


def test_too_little_space_there(board: Board, tmp_path: Path) -> None:
    large = tmp_path / "large.onnx"
    with large.open("wb") as file:
        file.truncate(8 * 10**12)  # sparse: takes nothing here
    with pytest.raises(HostError, match=r"MB free, 80000\d\d MB are needed; free some or set TMPDIR"):
        run_there(board.host, {}, {"large.onnx": large})
    assert board.left_behind() == []


def test_what_fails_there_is_reported(board: Board, classifier: Path) -> None:
    with opened([classifier]) as (target,):
        wrong = replace(target, vocabulary=60)  # its table has 50 rows
        with pytest.raises(HostError, match=r"tiny.onnx can't run on 2 × 16 tokens: .*idx"):
            compare([wrong], SMALL, host=board.host)
    assert board.left_behind() == []


def wait_until_empty(board: Board) -> None:
    for _ in range(100):
        if not board.left_behind():
            return
        time.sleep(0.1)
    assert board.left_behind() == []


SCRIPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job inherits that it is ignored
from pathlib import Path
from aebert.compare.comparison import Settings, compare
from aebert.compare.remote import Host
from aebert.compare.targets import opened
address, port, identity, python, config, path = sys.argv[1:]
with opened([Path(path)]) as targets:
    host = Host(address, int(port), Path(identity), python, 30, Path(config))
    compare(targets, Settings((512,), runs=10**6), host=host)
"""


def start_endless(board: Board, classifier: Path) -> subprocess.Popen[bytes]:
    host = board.host
    arguments = [host.address, str(host.port), str(host.identity), host.python, str(host.config), str(classifier)]
    here = {
        **os.environ,
        "TMPDIR": str(classifier.parent),
    }  # what a SIGKILL leaves here vanishes with the test's folder
    child = subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments], stderr=subprocess.DEVNULL, env=here)
    deadline = time.monotonic() + 60
    while not list(board.temporary.glob("aebert-*/stderr")):  # the runner has started there
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return child


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_kill_in_the_middle_leaves_nothing_there(board: Board, classifier: Path, number: signal.Signals) -> None:
    child = start_endless(board, classifier)
    assert working_there(board) != []
    child.send_signal(number)
    child.wait(30)
    wait_until_empty(board)
    assert working_there(board) == []


def working_there(board: Board) -> list[str]:
    """Processes of this machine, which is the board too, that still work in a job's folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            if path.readlink().is_relative_to(board.temporary):
                found.append(path.parent.name)
    return found


def test_a_connection_lost_in_the_middle(board: Board, classifier: Path) -> None:
    """The server's end of the connection is killed while it measures."""
    with opened([classifier]) as targets:
        lost = threading.Timer(0.5, _kill_connections, [board])
        lost.start()
        with pytest.raises(HostError, match=r"the connection was lost while .*: try again"):
            compare(targets, Settings((512,), runs=10**6), host=board.host)
        lost.join()
    wait_until_empty(board)


def _kill_connections(board: Board) -> None:
    import psutil

    deadline = time.monotonic() + 30
    while not list(board.temporary.glob("aebert-*/stderr")) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in psutil.Process(board.server).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # one that ends by itself between the two lines
            if process.name().startswith("sshd"):
                process.kill()


def test_a_host_that_falls_silent(board: Board, classifier: Path, tmp_path: Path) -> None:
    silent = fake_python(tmp_path, "exec sleep 30")
    line = refused(classifier, replace(board.host, python=silent, timeout=0.5))
    assert (
        "no sign of life for 0.5 s while connecting: it is too slow, or gone; a longer --timeout waits for it" in line
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"address": "-oProxyCommand=x"}, "a host must be written board or user@board, got '-oProxyCommand=x'"),
        ({"address": "a b"}, "got 'a b'"),
        ({"port": 70000}, "port must be from 1 to 65535, got 70000"),
        ({"timeout": 0.0}, "timeout must be above 0 seconds, got 0"),
        ({"identity": Path("gone")}, "identity must be a file, gone is none"),
        ({"config": Path("gone")}, "ssh config must be a file, gone is none"),
    ],
)
def test_a_host_that_cannot_be(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        replace(Host("board"), **change)  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_a_checkpoint_is_not_for_hosts(tmp_path: Path) -> None:
    target = Target(name="bert", form="torch eager", kind="checkpoint", path=tmp_path, files=(), vocabulary=50)
    with pytest.raises(ConfigError, match="bert is a checkpoint: export it first"):
        compare([target], SMALL, host=Host("board"))
