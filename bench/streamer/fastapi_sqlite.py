"""The design of a service that takes one POST a message and inserts one row.

python fastapi_sqlite.py serve PORT DATABASE      the service
python fastapi_sqlite.py feed WS_PORT HTTP_PORT   the client: a thread and a request for every message
"""

import asyncio
import json
import sqlite3
import sys
import threading
from contextlib import closing
from typing import Any

import requests
import uvicorn
from fastapi import FastAPI, Request
from websockets.asyncio.client import connect


def serve(port: str, path: str) -> None:
    """Insert what is posted, one transaction each."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE messages (id INTEGER PRIMARY KEY, body TEXT)")
    app = FastAPI()

    def insert(body: str) -> None:
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("INSERT INTO messages (body) VALUES (?)", (body,))

    async def post(request: Request) -> dict[str, Any]:
        message = await request.json()
        await asyncio.to_thread(insert, json.dumps(message))
        return {"stored": True}

    app.post("/messages")(post)
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")


async def feed(ws_port: str, http_port: str) -> None:
    """Post every message from a thread of its own, and look no further."""
    url = f"http://127.0.0.1:{http_port}/messages"

    def post(text: str) -> None:
        requests.post(url, json=json.loads(text), timeout=5)

    async with connect(f"ws://127.0.0.1:{ws_port}", compression=None) as connection:
        async for text in connection:
            threading.Thread(target=post, args=(str(text),), daemon=True).start()


if sys.argv[1] == "serve":
    serve(*sys.argv[2:])
else:
    asyncio.run(feed(*sys.argv[2:]))
