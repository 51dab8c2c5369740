"""cryptofeed's own Coinbase feed, with a callback that writes its normalised updates to a file.

    python cryptofeed_ndjson.py PORT FILE

The feed insists on a wss:// address and on symbols from the exchange's REST interface. Both are replaced here, so that
the peer pays neither for TLS nor for a request. Its updates are trades and tickers; it makes no use of heartbeats.
"""

import json
import sys
from pathlib import Path
from typing import Any

from cryptofeed import FeedHandler, connection  # type: ignore[import-not-found]
from cryptofeed.connection import WebsocketEndpoint  # type: ignore[import-not-found]
from cryptofeed.defines import TICKER, TRADES  # type: ignore[import-not-found]
from cryptofeed.exchanges import Coinbase  # type: ignore[import-not-found]
from cryptofeed.symbols import Symbols  # type: ignore[import-not-found]

PRODUCTS = ("BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD")


def main(port: str, path: str) -> None:
    """Record until SIGTERM."""
    connect = connection.connect

    def without_tls(address: str, **options: Any) -> Any:
        return connect(address.replace("wss://", "ws://", 1), **options)

    connection.connect = without_tls
    Coinbase.websocket_endpoints = [WebsocketEndpoint(f"wss://127.0.0.1:{port}", options={"compression": None})]
    Symbols.set(Coinbase.id, {product: product for product in PRODUCTS}, {})
    with Path(path).open("w", encoding="utf-8") as file:

        async def write(update: Any, receipt: float) -> None:
            row = update.to_dict(numeric_type=str)
            row["receipt_timestamp"] = receipt
            file.write(json.dumps(row) + "\n")

        # Its defaults, but for the place of the log: that is the current folder.
        handler = FeedHandler({"uvloop": True, "log": {"filename": f"{path}.log", "level": "WARNING"}})
        callbacks = {TRADES: write, TICKER: write}
        handler.add_feed(Coinbase(symbols=list(PRODUCTS), channels=[TRADES, TICKER], callbacks=callbacks))
        handler.run()


main(*sys.argv[1:])
