"""The status as people read it: a panel, a live view, and single lines where there is no terminal."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from stack.status import Health, Status, StatusReader

_REFRESH_SECONDS = 2
_FIGURES_SECONDS = 10
_LINE_SECONDS = 15
_COLOURS = {Health.HEALTHY: "green", Health.DEGRADED: "yellow", Health.STOPPED: "red"}


def render(status: Status, password: str | None) -> Panel:
    """The status as a panel."""
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="bold", no_wrap=True)
    rows.add_column(overflow="fold")
    for name, value in _rows(status, password):
        rows.add_row(name, Text(value))
    notes = [Text(f"✗ {problem}", style="red") for problem in status.problems]
    notes += [Text(f"! {warning}", style="yellow") for warning in status.warnings]
    title = f"Coinbase Market Pulse · [{_COLOURS[status.state]}]{status.state}[/]"
    return Panel(Group(rows, *notes), title=title, title_align="left", expand=False)


def _rows(status: Status, password: str | None) -> Iterator[tuple[str, str]]:
    yield "Airflow", status.airflow_url + (f"   user {status.airflow_user}   password {password}" if password else "")
    yield "Source", status.source + (" (replay finished)" if status.replay_finished else "")
    if status.state is Health.STOPPED:
        yield "", "Nothing is running: make run"
        return
    if (capture := status.capture) is not None:
        rate, total = f"{capture['messages_per_second']:,.1f}/s", f"{capture['messages_total']:,} this session"
        yield "Messages", f"{rate}   {total}   {capture['state']}"
    if status.segments is not None:
        yield "Segments", "   ".join(f"{state} {count:,}" for state, count in status.segments.items())
    yield from _warehouse_rows(status)
    if (run := status.last_run) is not None:
        duration = "" if run.duration_seconds is None else f"   {run.duration_seconds:.0f} s"
        started = "" if run.started_at is None else f"   started {run.started_at:%H:%M:%S} UTC"
        yield "Last run", f"{run.state}{duration}{started}"
    yield "Processes", "   ".join(f"{name} {part.state}" for name, part in status.parts.items())
    yield "Data", f"{status.project}: {', '.join(status.datasets.values())}   spool {status.spool_dir}"


def _warehouse_rows(status: Status) -> Iterator[tuple[str, str]]:
    figures = status.figures
    if figures is None:
        return
    if (batch := figures["last_batch"]) is not None:
        state = "in the marts" if batch["transformed_at"] else "loaded" if batch["loaded_at"] else "being loaded"
        yield (
            "Last batch",
            f"{batch['records']:,} rows in {batch['segments']:,} segments   {state}   composed {batch['composed_at']}",
        )
    yield "Marts", "   ".join(f"{name} {rows:,}" for name, rows in figures["mart_rows"].items()) or "empty"
    if (freshness := figures["freshness_seconds"]) is not None:
        yield "Freshness", f"newest trade in the marts is {_age(freshness)} old"


def _age(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days"


def line(status: Status) -> str:
    """The status in one line."""
    parts = [time.strftime("%H:%M:%S"), status.state.value]
    if status.replay_finished:
        parts.append("replay finished")
    parts += [
        f"{name.lower()}: {value}"
        for name, value in _rows(status, None)
        if name in {"Messages", "Segments", "Marts", "Freshness", "Last run"}
    ]
    return " | ".join([*parts, *status.problems, *status.warnings])


def follow(reader: StatusReader, console: Console, password: str) -> None:
    """Show the status until the process is interrupted."""
    with _output(console, password) as show:
        while True:
            show(reader.read(figures_max_age=_FIGURES_SECONDS))
            time.sleep(_REFRESH_SECONDS if console.is_terminal else _LINE_SECONDS)


@contextmanager
def _output(console: Console, password: str) -> Iterator[Callable[[Status], None]]:
    if not console.is_terminal:
        yield lambda status: console.print(line(status), markup=False, highlight=False, soft_wrap=True)
        return
    hint = Text("Ctrl-C stops everything", style="dim")
    with Live(hint, console=console, auto_refresh=False) as live:
        yield lambda status: live.update(Group(render(status, password), hint), refresh=True)
