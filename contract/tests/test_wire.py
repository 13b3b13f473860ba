"""What goes over the wire is what the request says, byte for byte."""

from __future__ import annotations

import socket
import time

from onejob_contract.client import in_lower_case, update_request
from onejob_contract.wire import Connection, Origin, Request


def sent(request: Request) -> bytes:
    """What a server reads of one request."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        origin = Origin("http", "127.0.0.1", listening.getsockname()[1], "")
        deadline = time.monotonic() + 10.0
        connection = Connection(origin, deadline)
        accepted, _ = listening.accept()
        connection.send(request, deadline)
        connection.close()
        with accepted, accepted.makefile("rb") as stream:
            return stream.read()


def names(request: Request) -> list[bytes]:
    head, _, _ = sent(request).partition(b"\r\n\r\n")
    return [line.partition(b":")[0] for line in head.split(b"\r\n")[1:]]


def test_names_of_headers_are_sent_as_they_are_written() -> None:
    assert names(update_request("job", "url")) == [b"Host", b"Content-Type", b"Content-Length"]


def test_a_client_that_writes_lower_case_does_so_everywhere() -> None:
    """Those of every request, too: `fetch` writes none in another way."""
    request = in_lower_case(update_request("job", "url"))
    assert names(request) == [b"host", b"content-type", b"content-length"]
    assert request.header("Content-Type") == "application/json"
    assert sent(request).endswith(request.body)
