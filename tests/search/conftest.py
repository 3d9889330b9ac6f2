"""The toy search as a fixture, since test files import no other files of this folder."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import optuna
import pytest

TOY = Path(__file__).parent / "toy_search.py"
ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))  # the toys import each other by their full names, also in processes of their own


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def toy() -> ModuleType:
    return _load(TOY)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verdicts from 10 bootstrap draws, since 200 take most of the time of a study on toy rows."""
    monkeypatch.setattr("aebert.search.verdict.RESAMPLES", 10)


class Server:
    """Searches in processes of their own; see `toy_search.py`."""

    def __init__(self) -> None:
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": path}
        self._process = subprocess.Popen(
            [sys.executable, str(TOY)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self._answer() == "ready"

    def start(
        self,
        path: Path,
        trials: int,
        sampler: str = "random",
        targets: tuple[float, ...] = (0.5,),
        seed: int = 0,
        seconds: float = 0.0,
        rows: bool = False,
    ) -> int:
        """Start a search and return the id of its process; call `wait` before the next."""
        order: dict[str, Any] = {"trials": trials, "sampler": sampler, "targets": targets, "seed": seed}
        self._tell(json.dumps({"path": str(path), "seconds": seconds, "rows": rows, **order}))
        return int(self._answer())

    def wait(self) -> None:
        """Return when the search has ended."""
        assert self._answer() == "done"
        self._tell("")

    def kill_after(self, seconds: float, process: int) -> None:
        """SIGKILL."""
        time.sleep(seconds)
        os.kill(process, signal.SIGKILL)
        self.wait()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


class Postgres:
    """A PostgreSQL server on loopback, with a password, and a database for each test."""

    user, password = "aebert", "a:b@c/d%e"

    def __init__(self, folder: Path, binaries: Path) -> None:
        self._folder, self._binaries, self._made = folder, binaries, 0
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        secret = folder / "secret"
        secret.write_text(self.password)
        if os.geteuid() == 0:  # the server refuses the superuser
            for path in (folder, secret):
                shutil.chown(path, "postgres")
        self._server: subprocess.Popen[bytes] | None = None
        self._do("initdb", "-U", self.user, "--pwfile", str(secret), "--auth=scram-sha-256", "-D", str(folder / "data"))
        self.start()

    def start(self) -> None:
        options = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
        command = [str(self._binaries / "postgres"), "-D", str(self._folder / "data"), "-p", str(self.port), *options]
        self._server = subprocess.Popen(command, stderr=subprocess.DEVNULL, **self._as_user())
        end = time.monotonic() + 60
        while not self._answers():
            assert time.monotonic() < end
            assert self._server.poll() is None
            time.sleep(0.05)

    def stop(self) -> None:
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)  # fast: connections are cut
            self._server.wait(60)

    def url(self) -> str:
        """Of a new database, without the password."""
        import psycopg

        self._made += 1
        with psycopg.connect(self._dsn(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE study{self._made}")
        return f"postgresql+psycopg://{self.user}@127.0.0.1:{self.port}/study{self._made}"

    def _dsn(self) -> str:
        import psycopg

        parts = {"host": "127.0.0.1", "port": self.port, "user": self.user, "password": self.password}
        return str(psycopg.conninfo.make_conninfo(**parts, dbname="postgres"))

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self._dsn(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _do(self, name: str, *arguments: str) -> None:
        command = [str(self._binaries / name), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **self._as_user())

    def _as_user(self) -> dict[str, Any]:
        return {"user": "postgres", "cwd": self._folder} if os.geteuid() == 0 else {"cwd": self._folder}


def find_binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).resolve().parent if on_path else None


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    pytest.importorskip("psycopg", reason="needs the extra postgres")
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("needs a PostgreSQL server (apt-get install postgresql)")
    with tempfile.TemporaryDirectory(prefix="aebert-postgres-") as folder:  # one that another user can enter
        running = Postgres(Path(folder), binaries)
        yield running
        running.stop()


@pytest.fixture
def postgres(postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch) -> Postgres:
    """The server, with its password in the environment."""
    monkeypatch.setenv("PGPASSWORD", postgres_server.password)
    return postgres_server
