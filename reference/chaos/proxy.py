"""A network between the cluster and one backend that can be cut, or swallow what is sent."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

_PIECE = 64 * 1024
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_FORGOTTEN_AFTER_S = 15.0
_LIMIT_S = 10.0


@dataclass(eq=False, slots=True)
class _Link:
    """One connection of a client, and ours to the backend unless it began in a black hole."""

    client: asyncio.StreamWriter
    backend: asyncio.StreamWriter | None
    is_dead: bool


class Proxy:
    """Forwards connections to `target` (a port of this machine) from a port of its own.

    What is lost in a black hole stays lost: its connections are never heard of again, as when
    a firewall forgets them. Only new ones work afterwards.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._links: set[_Link] = set()
        self._is_black_hole = False
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy {target}")

    def start(self) -> None:
        """Take connections."""
        self._thread.start()
        self._do(self._listen())

    def stop(self) -> None:
        """Reset every connection and end."""
        self._do(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Reset every connection; new ones work at once."""
        self._do(self._reset_all())

    def swallow(self) -> None:
        """Answer nothing any more: connections stay open and silent, new ones too."""
        self._do(self._begin_to_swallow())

    def forward(self) -> None:
        """Let new connections work again."""
        self._is_black_hole = False

    def _do(self, task: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(task, self._loop).result(_LIMIT_S)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _shut(self) -> None:
        self._server.close()
        await self._reset_all()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _reset_all(self) -> None:
        for link in list(self._links):
            _reset(link.client)
            if link.backend is not None:
                _reset(link.backend)

    async def _begin_to_swallow(self) -> None:
        self._is_black_hole = True
        for link in self._links:
            link.is_dead = True

    async def _connected(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        link = _Link(client, None, self._is_black_hole)
        self._links.add(link)
        try:
            if link.is_dead:
                await _pump(reader, None, link)
            else:
                await self._forward(reader, link)
        except OSError:
            pass
        finally:
            self._links.discard(link)
            _reset(client)
            if link.backend is not None:
                _reset(link.backend)

    async def _forward(self, reader: asyncio.StreamReader, link: _Link) -> None:
        answers, link.backend = await asyncio.open_connection("127.0.0.1", self._target)
        sides = [
            asyncio.ensure_future(_pump(reader, link.backend, link)),
            asyncio.ensure_future(_pump(answers, link.client, link)),
        ]
        await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
        if link.is_dead:  # the other side is not told, and finds out by itself
            await asyncio.wait(sides, timeout=_FORGOTTEN_AFTER_S)
        for side in sides:
            side.cancel()
        await asyncio.gather(*sides, return_exceptions=True)


async def _pump(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter | None, link: _Link
) -> None:
    """Copy until the source ends, or drop what comes from it once the link is dead."""
    while piece := await source.read(_PIECE):
        if sink is not None and not link.is_dead:
            sink.write(piece)
            await sink.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket | None = writer.get_extra_info("socket")
    if connection is not None and not writer.transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        writer.transport.abort()
