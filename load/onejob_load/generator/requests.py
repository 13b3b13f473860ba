"""The requests of the API as bytes, built once where they repeat."""

from __future__ import annotations

import itertools
import json
import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from onejob_contract.steps import REQUEST_ID
from onejob_contract.wire import Origin
from onejob_fixtures.forms import encode, publish_parts
from onejob_fixtures.images import small_png

_PLACE: Final = "the-session-goes-here"
_PNG_END: Final = 12
"""Bytes of the chunk that ends a PNG."""
_CHUNK_FRAME: Final = 12
"""Bytes of a PNG chunk around its content."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image file to publish."""

    filename: str
    media_type: str
    content: bytes


def picture(seed: int, kib: int) -> Picture:
    """Give a PNG of `kib` KiB, padded by a private chunk, which every reader skips."""
    image = small_png(seed)
    content = image.content
    missing = kib * 1024 - len(content) - _CHUNK_FRAME
    if missing > 0:
        chunk = b"paDd" + random.Random(seed).randbytes(missing)
        padding = missing.to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
        content = content[:-_PNG_END] + padding + content[-_PNG_END:]
    return Picture(image.filename, image.media_type, content)


class Requests:
    """Builds requests to one target, each marked so that it is found in the server's log."""

    def __init__(
        self,
        origin: Origin,
        headers: Sequence[tuple[str, str]],
        *,
        token: str,
        image_kib: int,
        seed: int,
    ) -> None:
        first, second = picture(seed, image_kib), picture(seed + 1, image_kib)
        form = encode(publish_parts(_PLACE, first, second))
        self._before, _, self._after = form.body.partition(_PLACE.encode())
        self._prefix = origin.prefix
        self._token = token
        self._numbers = itertools.count(1)
        common = "".join(f"{name}: {value}\r\n" for name, value in headers)
        self._common = f" HTTP/1.1\r\nHost: {origin.authority}\r\n{common}{REQUEST_ID}: "
        self._form_type = f"\r\nContent-Type: {form.content_type}\r\nContent-Length: "

    def publish(self, session: str, who: str) -> bytes:
        """POST /publish with two images."""
        body = b"".join((self._before, session.encode(), self._after))
        head = f"{self._head('POST', '/publish', who)}{self._form_type}{len(body)}\r\n\r\n"
        return head.encode() + body

    def status(self, job: str, who: str) -> bytes:
        """GET /status/{jobId}; the id is opaque, so all but unreserved characters are escaped."""
        escaped = quote(job, safe="")
        return f"{self._head('GET', f'/status/{escaped}', who)}\r\n\r\n".encode()

    def update(self, job: str, url: str, who: str) -> bytes:
        """POST /update_status, as the worker does."""
        body = json.dumps({"jobId": job, "resultUrl": url})
        return (
            f"{self._head('POST', '/update_status', who)}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    def health(self, who: str) -> bytes:
        """GET /health, which changes nothing."""
        return f"{self._head('GET', '/health', who)}\r\n\r\n".encode()

    def _head(self, method: str, target: str, who: str) -> str:
        return (
            f"{method} {self._prefix}{target}{self._common}"
            f"{self._token}/{who}/{next(self._numbers)}"
        )
