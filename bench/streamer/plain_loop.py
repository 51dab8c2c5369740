"""What most people write first: websockets, json.loads, a timestamp, json.dumps, a file.

python plain_loop.py PORT FILE
"""

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


async def main(port: str, path: str) -> None:
    """Record until the connection ends."""
    async with connect(f"ws://127.0.0.1:{port}", compression=None) as connection:
        with Path(path).open("w", encoding="utf-8") as file:  # noqa: ASYNC230
            try:
                async for text in connection:
                    message = json.loads(text)
                    message["received_at"] = datetime.now(UTC).isoformat()
                    file.write(json.dumps(message) + "\n")
            except ConnectionClosed:
                return


asyncio.run(main(*sys.argv[1:]))
