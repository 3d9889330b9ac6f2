from __future__ import annotations

import pytest

from aebert.compare.ssh_errors import last_line, ssh_failure


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("ssh: Could not resolve hostname bord: Name or service not known", "no host is called bord: check"),
        ("ssh: connect to host board port 22: Connection refused", "nothing listens on that port"),
        ("ssh: connect to host board port 22: Connection timed out", "it did not answer within 7 s"),
        ("ssh: connect to host board port 22: No route to host", "it did not answer within 7 s"),
        ("ssh: connect to host 10.0.0.1 port 22: Network is unreachable", "it did not answer within 7 s"),
        ("Connection timed out during banner exchange", "it did not answer within 7 s"),
        ("Timeout, server 10.0.0.1 not responding.", "it did not answer within 7 s"),
        ("pi@board: Permission denied (publickey,password).", "authentication failed (it takes publickey,password)"),
        ("kex_exchange_identification: Connection closed by remote host", "the connection was closed"),
        ("Received disconnect from 10.0.0.1: 2: Too many authentication failures", "it refused too many keys"),
        ("/home/me/c: terminating, 1 bad configuration options", "ssh does not accept its configuration"),
        ("debug1: x\r\nsomething new\r\ndebug1: Exit status", "something new"),
        ("", "ssh failed without a message"),
    ],
)
def test_what_ssh_says_is_explained_with_what_to_do(said: str, message: str) -> None:
    assert message in ssh_failure(said, timeout=7.0, accept=["ssh", "board"])


def test_a_changed_key_on_the_usual_port() -> None:
    said = (
        "debug1: Connecting to board [10.0.0.1] port 22.\r\n"
        "debug1: Server host key: ssh-rsa SHA256:abc\r\n"
        "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\n"
        "Offending ED25519 key in /home/me/.ssh/known_hosts:12\r\n"
        "Host key verification failed.\r\n"
    )
    assert ssh_failure(said, timeout=7.0, accept=["ssh", "pi@board"]) == (
        "its host key changed: it now sends ssh-rsa SHA256:abc, /home/me/.ssh/known_hosts holds another ED25519 key in "
        "line 12. Somebody may be in between. If the host was set up anew: ssh-keygen -f /home/me/.ssh/known_hosts -R "
        "board; then accept the new key by connecting: ssh pi@board"
    )


def test_lines_of_ssh_itself_are_not_what_failed() -> None:
    assert last_line('OpenSSH_9.2p1\nreal trouble\nAuthenticated to h ([1]:2) using "publickey".\ndebug1: x') == (
        "real trouble"
    )
