"""The dimensions that are the same whatever is received."""

import calendar
import datetime as dt

from tests.dbt.feed import Row


def dates() -> list[Row]:
    """dim_dates."""
    first, last = dt.date(2015, 1, 1), dt.date(2039, 12, 31)
    return [_date(first + dt.timedelta(days=number)) for number in range((last - first).days + 1)]


def _date(day: dt.date) -> Row:
    iso = day.isocalendar()
    quarter = (day.month - 1) // 3 + 1
    return {
        "traded_date": day,
        "date_key": int(f"{day:%Y%m%d}"),
        "year_no": day.year,
        "quarter_no": quarter,
        "month_no": day.month,
        "month_name": calendar.month_name[day.month],
        "day_of_month": day.day,
        "iso_day_of_week": iso.weekday,
        "day_name": calendar.day_name[day.weekday()],
        "iso_year": iso.year,
        "iso_week": iso.week,
        "week_starts_on": day - dt.timedelta(days=day.weekday()),
        "month_starts_on": day.replace(day=1),
        "quarter_starts_on": dt.date(day.year, 3 * quarter - 2, 1),
        "is_weekend": day.weekday() >= 5,
    }


def minutes_of_the_day() -> list[Row]:
    """dim_times."""
    return [
        {
            "time_key": 60 * hour + minute,
            "hour_of_day": hour,
            "minute_of_hour": minute,
            "time_label": f"{hour:02}:{minute:02}",
            "hour_label": f"{hour:02}:00",
        }
        for hour in range(24)
        for minute in range(60)
    ]


def sides() -> list[Row]:
    """dim_sides."""
    return [
        {
            "side_key": 1,
            "side": "buy",
            "explanation": "The taker bought: it met a waiting sell order and lifts the price.",
        },
        {
            "side_key": 2,
            "side": "sell",
            "explanation": "The taker sold: it met a waiting buy order and lowers the price.",
        },
    ]
