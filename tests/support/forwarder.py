"""A TCP forwarder in front of a server, which can be cut off from everybody, as by a broken network."""

import asyncio
import contextlib
import threading
from collections.abc import Callable


class Forwarder:
    """Forwards connections to `port` of 127.0.0.1 to `target_port`, in a thread of its own, from `start` to `stop`.

    is_cut: asked for each connection, with the address it came from; while it is true its bytes wait, as those of a
    network that sends them again later.
    """

    def __init__(self, port: int, target_port: int, is_cut: Callable[[str], bool]) -> None:
        self._port = port
        self._target_port = target_port
        self._is_cut = is_cut
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        """Back when it listens."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(5)

    def stop(self) -> None:
        """End it with its connections."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", self._port)

    async def _end(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        source = writer.get_extra_info("peername")[0]
        with contextlib.suppress(OSError, asyncio.CancelledError):
            while self._is_cut(source):
                await asyncio.sleep(0.02)
            try:
                there = await asyncio.open_connection("127.0.0.1", self._target_port)
            except OSError:
                writer.transport.abort()
                return
            ways = [asyncio.create_task(self._pump(source, *way)) for way in ((reader, there[1]), (there[0], writer))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                writer.transport.abort()
                there[1].transport.abort()

    async def _pump(self, source: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                while self._is_cut(source):
                    await asyncio.sleep(0.02)
                writer.write(data)
                await writer.drain()
