"""The pictures of docs/analysis.md. What is not known is not drawn: lines break, and the stretch is shaded."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import dates
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from analysis.page import Row

# Matplotlib's annotations know neither instants on an axis nor some of its own functions.
type Axis = Any
DateFormatter: Any = dates.DateFormatter
HourLocator: Any = dates.HourLocator
SecondLocator: Any = dates.SecondLocator

_PRICE, _VWAP, _BUY, _SELL, _UNKNOWN = "#1f3b57", "#c2571a", "#2a8a6d", "#b8475d", "#d9d9d9"
_PER_PRODUCT = {"BTC-USD": "#c2571a", "ETH-USD": "#1f3b57", "XRP-USD": "#2a8a6d"}
_STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "grid.color": "#ececec",
    "legend.frameon": False,
}
_MINUTE = timedelta(minutes=1)


def draw_recorded_minute(trades: Sequence[Row], seconds: Sequence[Row], file: Path) -> None:
    """Price and running VWAP of each trade over the volume of each second, a column a product."""
    product_ids = sorted({trade["product_id"] for trade in trades})
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(12, 5.4), layout="constrained")
        axes = figure.subplots(2, len(product_ids), sharex=True, squeeze=False, height_ratios=(2, 1))
        for column, product_id in enumerate(product_ids):
            price, volume = axes[0][column], axes[1][column]
            own = [trade for trade in trades if trade["product_id"] == product_id]
            at = _times(own, "traded_at")
            price.step(at, _values(own, "price"), where="post", color=_PRICE, lw=1.1, label="price")
            price.plot(at, _values(own, "running_vwap"), color=_VWAP, lw=1.3, ls="--", label="VWAP so far")
            base, _, quote = product_id.partition("-")
            price.set_title(f"{product_id}: {len(own)} trades")
            price.set_ylabel(f"price, {quote}")
            price.legend(loc="upper right", ncols=2)
            _price_axis(price)
            bars = [second for second in seconds if second["product_id"] == product_id]
            _stacked(volume, bars, "second_at", ("bought", "sold"), timedelta(seconds=1))
            volume.set_ylabel(f"volume a second, {base}")
            volume.xaxis.set_major_locator(SecondLocator(bysecond=range(0, 60, 15)))
            volume.xaxis.set_major_formatter(DateFormatter("%H:%M:%S"))
            volume.set_xlabel(f"UTC, {own[0]['traded_at']:%Y-%m-%d}")
        _save(figure, file)


def draw_simulated_day(minutes: Sequence[Row], bars: Sequence[Row], hours: Sequence[Row], file: Path) -> None:
    """Price of each minute with the VWAP so far, volume of five minutes, and how much of each hour is whole."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(12, 7.2), layout="constrained")
        price, volume, coverage = figure.subplots(3, 1, sharex=True, height_ratios=(5, 2.2, 1))
        at = _times(minutes, "candle_at")
        low, high = _values(minutes, "low"), _values(minutes, "high")
        price.fill_between(at, low, high, color=_PRICE, alpha=0.25, lw=0, label="low to high of the minute")
        price.plot(at, _values(minutes, "close"), color=_PRICE, lw=0.9, label="close")
        vwap = [row["running_vwap"] if row["close"] is not None else None for row in minutes]
        price.plot(at, _floats(vwap), color=_VWAP, lw=1.3, ls="--", label="VWAP of the day so far")
        price.set_ylabel("price, USD")
        price.set_title(f"BTC-USD, simulated, {minutes[0]['candle_at']:%Y-%m-%d}")
        _price_axis(price)
        _stacked(volume, bars, "candle_at", ("buy_volume", "sell_volume"), 5 * _MINUTE)
        volume.set_ylabel("volume in\n5 minutes, BTC")
        shares = [row["covered_minutes"] / 60 for row in hours]
        coverage.bar(
            _times(hours, "hour_at"), shares, width=60 * _MINUTE, align="edge", color=_PRICE, ec="white", lw=0.6
        )
        coverage.set_ylim(0, 1)
        coverage.set_yticks((0, 1), ("0", "100 %"))
        coverage.set_ylabel("minutes\ncomplete")
        coverage.xaxis.set_major_locator(HourLocator(byhour=range(0, 24, 3)))
        coverage.xaxis.set_major_formatter(DateFormatter("%H:%M"))
        coverage.set_xlabel("UTC")
        coverage.set_xlim(at[0], at[-1] + _MINUTE)
        for axis in (price, volume):
            _shade_unknown(axis, minutes)
        price.legend(loc="upper left", ncols=4)
        _save(figure, file)


def draw_market_hours(hours: Sequence[Row], file: Path) -> None:
    """Mean depth, spread and price of each hour, a row a product, each on its own scale."""
    product_ids = sorted({row["product_id"] for row in hours})
    figures = {
        "average_liquidity_depth": "mean depth at the best prices, {base}",
        "average_spread_percent": "mean spread, % of mid",
        "average_price": "mean price, {quote}",
    }
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(12, 2.3 * len(product_ids) + 0.6), layout="constrained")
        axes = figure.subplots(len(product_ids), len(figures), sharex=True, squeeze=False)
        for row, product_id in enumerate(product_ids):
            own = [hour for hour in hours if hour["product_id"] == product_id]
            base, _, quote = product_id.partition("-")
            for column, (name, title) in enumerate(figures.items()):
                axis = axes[row][column]
                values = _values(own, name)
                axis.plot(
                    _times(own, "hour_at"), values, color=_PER_PRODUCT.get(product_id, _PRICE), lw=1.3, marker="o", ms=3
                )
                axis.set_title(f"{product_id}: {title.format(base=base, quote=quote)}", fontsize=8.5)
                axis.margins(y=0.25)
                axis.xaxis.set_major_locator(HourLocator(byhour=range(0, 24, 6)))
                axis.xaxis.set_major_formatter(DateFormatter("%H:%M"))
                axis.yaxis.set_major_formatter(FuncFormatter(_short))
        for axis in axes[-1]:
            axis.set_xlabel("UTC, hour begins")
        _save(figure, file)


def _stacked(axis: Axis, rows: Sequence[Row], time: str, names: tuple[str, str], width: timedelta) -> None:
    at = _times(rows, time)
    bought, sold = (_values(rows, name) for name in names)
    axis.bar(at, bought, width=width, align="edge", color=_BUY, label="taker bought")
    axis.bar(at, sold, width=width, align="edge", bottom=bought, color=_SELL, label="taker sold")
    axis.legend(loc="upper right", ncols=2)
    axis.margins(y=0.3)
    axis.set_ylim(bottom=0)


def _shade_unknown(axis: Axis, minutes: Sequence[Row]) -> None:
    """Stretches of minutes of which neither a price nor its absence is known."""
    label = "not received"
    start: datetime | None = None
    for row in [*minutes, {"candle_at": minutes[-1]["candle_at"] + _MINUTE, "close": 0}]:
        is_unknown = row["close"] is None
        if is_unknown and start is None:
            start = row["candle_at"]
        elif not is_unknown and start is not None:
            axis.axvspan(
                start.replace(tzinfo=None), row["candle_at"].replace(tzinfo=None), color=_UNKNOWN, lw=0, label=label
            )
            start, label = None, "_"


def _price_axis(axis: Axis) -> None:
    axis.margins(x=0.01, y=0.12)
    axis.yaxis.set_major_formatter(FuncFormatter(_short))


def _short(value: float, _position: int) -> str:
    """Thousands apart, as many decimals as the value needs."""
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:,.6g}"


def _times(rows: Sequence[Row], name: str) -> list[datetime]:
    return [row[name].replace(tzinfo=None) for row in rows]


def _values(rows: Sequence[Row], name: str) -> list[float]:
    return _floats([row[name] for row in rows])


def _floats(values: Sequence[object]) -> list[float]:
    """For a picture a float will do; nothing becomes not-a-number, across which no line is drawn."""
    return [float("nan") if value is None else float(str(value)) for value in values]


def _save(figure: Figure, file: Path) -> None:
    figure.savefig(file, dpi=110, metadata={"Software": None})
