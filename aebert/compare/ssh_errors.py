"""What ssh prints when it can't connect, as one line that says what to do."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

# pattern of a line of OpenSSH → our line for the user; the first that matches counts
_LINES = (
    (r"Could not resolve hostname (\S+?):", "no host is called {0}: check the spelling, or ~/.ssh/config"),
    (r"Connection refused", "nothing listens on that port: is sshd running there, is --port right?"),
    (
        r"timed out|Operation timed out|No route to host|Network is unreachable|Host is down|Timeout, server",
        "it did not answer within {timeout:g} s: is it on and in this network? a longer --timeout waits for it",
    ),
    (
        r"UNPROTECTED PRIVATE KEY FILE",
        "the private key may be read by others, so ssh doesn't use it: chmod 600 that file",
    ),
    (
        r"Permission denied \(([^)]*)\)",
        "authentication failed (it takes {0}); passwords can't be asked for: name a key with --identity, or add it to "
        "ssh-agent, and its .pub to ~/.ssh/authorized_keys there",
    ),
    (r"Too many authentication failures", "it refused too many keys: name the right one with --identity"),
    (r"Bad configuration option|no such file|terminating, (.*)", "ssh does not accept its configuration"),
    (
        r"Connection reset|Connection closed|Broken pipe|kex_exchange_identification|Invalid SSH identification",
        "the connection was closed: is that an SSH server, and does it accept you?",
    ),
)


def ssh_failure(said: str, *, timeout: float, accept: Sequence[str]) -> str:
    """Why a connection failed, from what `ssh -v` printed on standard error.

    accept: the command that connects by hand, to accept a key once.
    """
    key = _sent_key(said)
    command = " ".join(accept)
    if "REMOTE HOST IDENTIFICATION HAS CHANGED" in said:
        return _changed(said, key, command)
    if "Host key verification failed" in said:
        return f"its host key {key} is unknown: compare it with the host's own, then accept it by connecting: {command}"
    for pattern, line in _LINES:
        found = re.search(pattern, said)
        if found:
            return line.format(*found.groups(), timeout=timeout)
    return last_line(said) or "ssh failed without a message"


def _changed(said: str, key: str, command: str) -> str:
    offending = re.search(r"Offending (\S+) key in (\S+):(\d+)", said)
    kind, file, line = offending.groups() if offending else ("", "known_hosts", "?")
    remove = f"ssh-keygen -f {shlex.quote(file)} -R {shlex.quote(_known_as(said))}"
    return (
        f"its host key changed: it now sends {key}, {file} holds another {kind} key in line {line}. Somebody may be in "
        f"between. If the host was set up anew: {remove}; then accept the new key by connecting: {command}"
    )


def _known_as(said: str) -> str:
    """The name under which known_hosts lists the host."""
    found = re.search(r"debug1: Connecting to (\S+) (?:\[\S+\] )?port (\d+)", said)
    name, port = found.groups() if found else ("HOST", "22")
    return name if port == "22" else f"[{name}]:{port}"


def _sent_key(said: str) -> str:
    found = re.search(r"Server host key: (\S+ \S+)", said)
    return found[1] if found else "(not shown)"


def last_line(said: str) -> str:
    """The last line that `ssh -v` itself did not write."""
    noise = ("debug1:", "Authenticated to", "Transferred:", "Bytes per second:", "OpenSSH_")
    lines = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith(noise)]
    return lines[-1] if lines else ""
