"""What goes over the wire is what the request says, byte for byte."""

from __future__ import annotations

import socket
import time
from dataclasses import replace

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


def test_a_body_is_sent_in_as_many_chunks_as_the_request_says() -> None:
    request = Request("POST", "/", (("Transfer-Encoding", "chunked"),), b"0123456789", chunks=3)
    _, _, body = sent(request).partition(b"\r\n\r\n")
    assert body == b"3\r\n012\r\n3\r\n345\r\n4\r\n6789\r\n0\r\n\r\n"
    _, _, nothing = sent(replace(request, body=b"")).partition(b"\r\n\r\n")
    assert nothing == b"0\r\n\r\n"
