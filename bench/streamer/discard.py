"""What a client library costs by itself: every message is received as bytes, counted and forgotten.

python discard.py picows|websockets PORT FILE      FILE gets the count when the connection ends
"""

import asyncio
import sys
from pathlib import Path

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


class _Counter(WSListener):
    def __init__(self) -> None:
        self.count = 0

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:  # noqa: ARG002
        """Take one."""
        if frame.msg_type is WSMsgType.TEXT:
            frame.get_payload_as_bytes()
            self.count += 1


async def _picows(url: str) -> int:
    transport, listener = await ws_connect(_Counter, url)
    await transport.wait_disconnected()
    assert isinstance(listener, _Counter)
    return listener.count


async def _websockets(url: str) -> int:
    count = 0
    async with connect(url, compression=None, ping_interval=None) as connection:
        try:
            while True:
                await connection.recv(decode=False)
                count += 1
        except ConnectionClosed:
            return count


async def main(library: str, port: str, path: str) -> None:
    """Receive until the connection ends."""
    count = await {"picows": _picows, "websockets": _websockets}[library](f"ws://127.0.0.1:{port}")
    Path(path).write_text(str(count))  # noqa: ASYNC240


asyncio.run(main(*sys.argv[1:]))
