"""Servers that misbehave: a run ends in time, says what it met, and never passes."""

import gzip
import http.server
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
from kit import CommandLine, Said, judged

from onejob_contract.client import Client
from onejob_contract.preflight import NotJudgeable, look
from onejob_contract.target import Target
from onejob_contract.verdict import Exit
from onejob_contract.wire import Origin

RESPONSE_TIMEOUT_S: Final = 1.0
NOT_THIS_API_S: Final = 25.0
"""A handful of requests decide, and each ends within its timeout; the rest is a busy machine."""
WHOLE_RUN_S: Final = 60.0
"""A quick run has 15 s against a slow server; the rest is a busy machine."""

Behaviour = Callable[[socket.socket, threading.Event], None]


@contextmanager
def listening(behaviour: Behaviour) -> Iterator[str]:
    """Give every connection to `behaviour` in a thread of its own, until the block ends."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with closing(connection), suppress(OSError):
            connection.settimeout(NOT_THIS_API_S)
            behaviour(connection, over)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threads.append(threading.Thread(target=serve, args=(connection,), daemon=True))
                threads[-1].start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join(5)
        for thread in threads:
            thread.join(5)


def hangs(connection: socket.socket, over: threading.Event) -> None:
    """Take the connection and say nothing for ever."""
    del connection
    over.wait()


def hangs_but_is_healthy(connection: socket.socket, over: threading.Event) -> None:
    """Answer the health check; say nothing to anything else."""
    while _request(connection).startswith(b"GET /health"):
        connection.sendall(JSON + b"\r\nContent-Length: %d\r\n\r\n" % len(HEALTH) + HEALTH)
    over.wait()


def drips(connection: socket.socket, over: threading.Event) -> None:
    """Begin an answer and go on with one byte a second for ever."""
    _request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{")
    while not over.wait(1):
        connection.sendall(b" ")


def drips_its_head(connection: socket.socket, over: threading.Event) -> None:
    """As `drips`, from the first byte on."""
    while not over.wait(1):
        connection.sendall(b"H")


def resets(connection: socket.socket, over: threading.Event) -> None:
    """Read a little and reset the connection."""
    del over
    connection.recv(10)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def closes(connection: socket.socket, over: threading.Event) -> None:
    """Read the request and close without an answer."""
    del over
    _request(connection)


def speaks_ssh(connection: socket.socket, over: threading.Event) -> None:
    """Greet as an SSH server and wait."""
    connection.sendall(b"SSH-2.0-OpenSSH_9.6p1\r\n")
    over.wait()


def speaks_smtp(connection: socket.socket, over: threading.Event) -> None:
    """Greet as a mail server, and answer every line with an error."""
    connection.sendall(b"220 mail.example.com ESMTP\r\n")
    while not over.is_set() and connection.recv(65536):
        connection.sendall(b"502 5.5.2 command not recognised\r\n")


def answering(head: bytes, body: bytes) -> Behaviour:
    """Answer every request with the same head lines and body, closing after each."""

    def behaviour(connection: socket.socket, over: threading.Event) -> None:
        del over
        _request(connection)
        lines = b"%s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (head, len(body))
        connection.sendall(lines + body)

    return behaviour


def floods(connection: socket.socket, over: threading.Event) -> None:
    """Answer with 100 MB."""
    _request(connection)
    size = 100_000_000
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
    chunk = b" " * 1_000_000
    for _ in range(size // len(chunk)):
        if over.is_set():
            return
        connection.sendall(chunk)


def floods_headers(connection: socket.socket, over: threading.Event) -> None:
    """Send header lines without end."""
    _request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while not over.is_set():
        connection.sendall(b"X-More: of the same\r\n" * 1000)


def _request(connection: socket.socket) -> bytes:
    """One request, as far as its Content-Length says. Raises OSError when the kit hangs up."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
    while len(body) < int(length[1] if length else 0):
        body += _more(connection)
    return head + b"\r\n\r\n" + body


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionResetError
    return data


@contextmanager
def failing_after(url: str, chunks: int, *, gone: bool) -> Iterator[str]:
    """A way to the server at `url` that carries so many chunks of requests, then fails for good.

    Gone: it closes everything and listens no more. Otherwise it takes requests and says nothing.
    """
    port = urlsplit(url).port or 0
    left = threading.Semaphore(chunks)
    failed = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    connections: list[socket.socket] = []

    def fail() -> None:
        failed.set()
        if gone:
            _shut(listener, *connections)

    def there(client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                if not left.acquire(blocking=False):
                    fail()
                if not failed.is_set():
                    server.sendall(data)
        _shut(server)

    def back(server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)
        if not failed.is_set():
            _shut(client)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", port))
                connections.extend((client, server))
                threading.Thread(target=there, args=(client, server), daemon=True).start()
                threading.Thread(target=back, args=(server, client), daemon=True).start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        _shut(listener, *connections)
        listener.close()
        acceptor.join(5)
        for connection in connections:
            connection.close()


def _shut(*sockets: socket.socket) -> None:
    for one in sockets:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


JSON: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json"
HEALTH: Final = b'{"status": "ok", "service": "flask-api"}'
GZIP: Final = JSON + b"\r\nContent-Encoding: gzip"
BOMB: Final = gzip.compress(b" " * 50_000_000)

NOT_THIS_API: Final = {
    "hangs": hangs,
    "drips its head": drips_its_head,
    "resets": resets,
    "closes": closes,
    "speaks SSH": speaks_ssh,
    "speaks SMTP": speaks_smtp,
    "drips": drips,
    "floods": floods,
    "floods headers": floods_headers,
    "unpacks to 50 MB": answering(GZIP, BOMB),
    "says it is gzip but is not": answering(GZIP, b"{}"),
    "redirects to itself": answering(b"HTTP/1.1 302 Found\r\nLocation: /health", b""),
    "says 404 to everything": answering(b"HTTP/1.1 404 Not Found", b"no such page"),
    "says 502 to everything": answering(b"HTTP/1.1 502 Bad Gateway", b"<html>nginx</html>"),
}
BROKEN: Final = {
    "says 200 {} to everything": answering(JSON, b"{}"),
    "says invalid UTF-8": answering(JSON, b'{"status": "\xff\xfe"}'),
    "says invalid JSON": answering(JSON, b'{"status": '),
    "says a lone surrogate": answering(JSON, b'{"status": "\\ud800", "jobId": "\\ud800"}'),
    "says a number of a million digits": answering(JSON, b"1" * 1_000_000),
    "says brackets without end": answering(JSON, b"[" * 900_000),
}


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A target file with short timeouts."""
    file = tmp_path_factory.mktemp("target") / "onejob.toml"
    file.write_text(f"[timeouts]\nresponse = {RESPONSE_TIMEOUT_S}\njob = 2\n", "utf-8")
    return file


def sentence(said: Said) -> str:
    """The one line a person reads when nothing was judged."""
    assert said.exit == Exit.NOT_JUDGED
    assert "Traceback" not in said.everything
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err


@pytest.mark.parametrize("behaviour", NOT_THIS_API.values(), ids=NOT_THIS_API)
def test_what_does_not_speak_this_api_is_told_before_any_check(behaviour: Behaviour) -> None:
    with listening(behaviour) as url:
        target = Target(Origin.parse(url), response_timeout_s=0.4)
        began = time.monotonic()
        with closing(Client(target)) as client, pytest.raises(NotJudgeable) as told:
            look(client, patience_s=1.0)
        assert time.monotonic() - began < NOT_THIS_API_S
    assert str(told.value).startswith(url)
    assert str(told.value).endswith("?"), "it asks what to look at"


@pytest.mark.parametrize("behaviour", [hangs, speaks_ssh], ids=["hangs", "speaks SSH"])
def test_the_command_says_so_in_one_sentence(
    user: CommandLine, impatient: Path, behaviour: Behaviour
) -> None:
    with listening(behaviour) as url:
        said = user.onejob("check", url, "--target", impatient, deadline=NOT_THIS_API_S)
    assert f"{url} accepts connections but does not answer in HTTP" in sentence(said)


def test_a_closed_port_is_told(user: CommandLine) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    said = user.onejob("check", f"http://127.0.0.1:{port}", deadline=NOT_THIS_API_S)
    assert "cannot be reached" in sentence(said)
    assert "Is the server running, and on this port?" in said.err


def test_a_plain_file_server_is_told(user: CommandLine, tmp_path: Path) -> None:
    class Files(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing on the test's terminal."""

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Files, directory=str(tmp_path))
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        said = user.onejob(
            "check", f"http://127.0.0.1:{server.server_port}", deadline=NOT_THIS_API_S
        )
        server.shutdown()
    assert "is something else: none of its answers resembles this API" in sentence(said)


@pytest.mark.parametrize("behaviour", BROKEN.values(), ids=BROKEN)
def test_nonsense_in_good_http_is_nonconformant(behaviour: Behaviour) -> None:
    with listening(behaviour) as url:
        session = judged(url, "HEALTH-OK", "PUBLISH-ACCEPTED", "STATUS-NOT-FOUND")
    conclusion = session.conclusion()
    assert conclusion.exit == Exit.NONCONFORMANT
    assert "HEALTH-OK" in conclusion.because


def test_a_server_that_says_yes_to_everything_is_nonconformant(
    user: CommandLine, impatient: Path
) -> None:
    with listening(BROKEN["says 200 {} to everything"]) as url:
        said = user.onejob(
            *("check", url, "--profile", "quick", "--target", impatient, "--fail-fast"),
            deadline=WHOLE_RUN_S,
        )
    assert said.exit == Exit.NONCONFORMANT
    assert "nonconformant: " in said.out
    assert "curl -sS -i -" in said.out  # whichever request was the first to show it
    assert said.err == ""


def test_a_target_that_dies_in_mid_run_never_passes(
    user: CommandLine, impatient: Path, correct_server: str
) -> None:
    with failing_after(correct_server, 40, gone=True) as url:
        said = user.onejob(
            *("check", url, "--profile", "quick", "--target", impatient), deadline=WHOLE_RUN_S
        )
    assert said.exit in (Exit.NOT_JUDGED, Exit.NONCONFORMANT)
    assert "Traceback" not in said.everything
    assert "the run ended before" in said.out


@pytest.mark.whole_run
def test_a_target_that_falls_silent_in_mid_run_ends_the_run(
    user: CommandLine, impatient: Path, correct_server: str
) -> None:
    with failing_after(correct_server, 60, gone=False) as url:
        said = user.onejob(
            *("check", url, "--profile", "quick", "--target", impatient), deadline=WHOLE_RUN_S
        )
    assert said.exit in (Exit.NOT_JUDGED, Exit.NONCONFORMANT)
    assert "Traceback" not in said.everything
    assert "it stopped answering" in said.out


@pytest.mark.whole_run
def test_a_target_of_which_only_the_health_answers_ends_the_run(
    user: CommandLine, impatient: Path
) -> None:
    with listening(hangs_but_is_healthy) as url:
        said = user.onejob(
            *("check", url, "--profile", "quick", "--target", impatient), deadline=WHOLE_RUN_S
        )
    assert said.exit == Exit.NONCONFORMANT
    assert "Traceback" not in said.everything
