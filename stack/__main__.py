"""`python -m stack up|run|down|status|logs|clean|page-test|part NAME`: what the Makefile calls."""

import argparse
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from rich.console import Console
from rich.prompt import Confirm

from include.config import ConfigError, Source, StackConfig
from stack import credentials
from stack.airflow_api import AirflowApi
from stack.airflow_environment import ui_url
from stack.backfill import backfill
from stack.cleaning import clean
from stack.errors import PartError, StackError
from stack.foreground import PARTS, run_part
from stack.installation import REPOSITORY, Installation
from stack.lock import exclusive
from stack.logs import last_lines, log_paths, show_logs
from stack.paging import page_test
from stack.plan import SourceChoice, home_of, make_plan
from stack.replay import watch_replay
from stack.screen import Screen
from stack.shutdown import take_down
from stack.startup import bring_up
from stack.state import read_state
from stack.status import Health, Status, StatusReader
from stack.view import follow, render

EXIT_STATUS = {Health.HEALTHY: 0, Health.DEGRADED: 1, Health.STOPPED: 3}
EXIT_FAILED = 1
EXIT_CONFIG = 2
EXIT_INTERRUPTED = 130
_ERROR_LINES = 15
#: A stack that just became ready, or was asked while it was busy, gets this long to look healthy as a whole.
_SETTLE_SECONDS = 30


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Returns its exit status: 0 good, 1 failed or degraded, 2 bad setting, 3 not running, 130 interrupted.
    """
    options = _parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    console = Console(stderr=True)
    try:
        installation = Installation(home_of(os.environ, REPOSITORY))
        command: Callable[[Installation, argparse.Namespace], int] = options.command
        return command(installation, options)
    except ConfigError as error:
        console.print(f"✗ {error}", style="red", markup=False, soft_wrap=True)
        return EXIT_CONFIG
    except (StackError, PermissionError) as error:
        _explain(console, error)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _explain(console: Console, error: Exception) -> None:
    """The error, and for a part the end of its log."""
    console.print(f"✗ {error}", style="red", markup=False, soft_wrap=True)
    if isinstance(error, PartError) and error.log_path is not None:
        for line in last_lines(error.log_path, _ERROR_LINES):
            console.print(f"  │ {line}", markup=False, highlight=False, soft_wrap=True)
        console.print(f"  log: {error.log_path}", markup=False, highlight=False, soft_wrap=True)


def _up(installation: Installation, options: argparse.Namespace) -> int:
    # Standard output is the status's alone when a program reads it.
    console = Console(stderr=options.format == "json")
    with Screen(console) as screen, exclusive(installation, screen.say):
        plan = bring_up(installation, options.source, os.environ, screen)
    reader = StatusReader(installation, plan)
    deadline = time.monotonic() + _SETTLE_SECONDS
    while (status := reader.read()).state is not Health.HEALTHY and time.monotonic() < deadline:
        time.sleep(1)
    return _show(installation, status, options.format)


def _run(installation: Installation, options: argparse.Namespace) -> int:
    console = Console()
    with Screen(console) as screen, exclusive(installation, screen.say):
        plan = bring_up(installation, options.source, os.environ, screen)
    try:
        follow(StatusReader(installation, plan), console, credentials.password(installation.airflow_home))
    except KeyboardInterrupt:
        _down(installation, options)
    return 0


def _down(installation: Installation, _: argparse.Namespace) -> int:
    """A stop is not interrupted half-way: it ends by itself in bounded time."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with Screen(Console()) as screen, exclusive(installation, screen.say):
        take_down(installation, screen.say)
    return 0


def _status(installation: Installation, options: argparse.Namespace) -> int:
    fallback = make_plan(Source.LIVE, os.environ, installation.repository)
    return _show(installation, StatusReader(installation, fallback).read(), options.format)


def _show(installation: Installation, status: Status, output_format: str) -> int:
    if output_format == "json":
        sys.stdout.write(msgspec.json.encode(status).decode() + "\n")
    else:
        stopped = status.state is Health.STOPPED
        Console().print(render(status, None if stopped else credentials.password(installation.airflow_home)))
    return EXIT_STATUS[status.state]


def _logs(installation: Installation, options: argparse.Namespace) -> int:
    return show_logs(log_paths(installation, options.part), follow=options.follow)


def _clean(installation: Installation, options: argparse.Namespace) -> int:
    console = Console()
    confirm = Confirm.ask if console.is_terminal and sys.stdin.isatty() else None
    deleted = clean(installation, force=options.force, confirm=confirm)
    console.print(
        f"Deleted {len(deleted)} folders of {installation.home}" if deleted else "Nothing was deleted",
        markup=False,
        soft_wrap=True,
    )
    return 0


def _part(installation: Installation, options: argparse.Namespace) -> int:
    installation.create_folders()
    run_part(installation, options.name, options.source, os.environ, Screen(Console(stderr=True)))


def _settings(installation: Installation, _: argparse.Namespace) -> int:
    """For a shell that is to work on what runs; nothing before the first start, when the environment counts alone."""
    state = read_state(installation.run_dir)
    for name, value in sorted(state.plan.settings.items() if state else ()):
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
    return 0


def _page_test(installation: Installation, _: argparse.Namespace) -> int:
    return page_test(installation, os.environ)


def _backfill(installation: Installation, options: argparse.Namespace) -> int:
    state = read_state(installation.run_dir)
    if state is None:
        raise StackError("nothing runs here: make up first")
    console = Console(stderr=True)
    api = AirflowApi(ui_url(state.plan.config(StackConfig)), installation.airflow_home)
    conf = {
        "mode": options.mode,
        "window_start": options.begin,
        "window_end": options.end,
        "dry_run": options.dry_run,
        "only_missing": not options.everything,
    }
    if options.products:
        conf["products"] = [product.strip() for product in options.products.split(",") if product.strip()]
    if options.concurrency:
        conf["concurrency"] = options.concurrency
    if options.prefix:
        conf["dataset_prefix"] = options.prefix
    report = backfill(api, conf, lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True))
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n")
    return 0


def _watch_replay(installation: Installation, _: argparse.Namespace) -> int:
    state = read_state(installation.run_dir)
    if state is None:
        raise StackError(f"{Path(installation.run_dir)}: no running stack")
    watch_replay(installation, state.plan)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m stack",
        description="The whole product on this machine. Settings come from the environment (PULSE_*).",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        name: str, command: Callable[[Installation, argparse.Namespace], int], text: str
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(command=command)
        return added

    def with_source(added: argparse.ArgumentParser) -> argparse.ArgumentParser:
        added.add_argument(
            "--source",
            type=SourceChoice,
            choices=list(SourceChoice),
            default=SourceChoice.AUTO,
            help="where the feed comes from",
        )
        return added

    def with_format(added: argparse.ArgumentParser) -> argparse.ArgumentParser:
        added.add_argument("--format", choices=["text", "json"], default="text", help="how the status is printed")
        return added

    with_format(with_source(add("up", _up, "start everything and return when it is healthy")))
    with_source(add("run", _run, "start everything, show its status, stop it at Ctrl-C"))
    add("down", _down, "stop everything")
    with_format(add("status", _status, "print the status; exit status 0 healthy, 1 degraded, 3 stopped"))
    logs = add("logs", _logs, "print the end of the logs")
    logs.add_argument("--part", help="of this part only")
    logs.add_argument("--follow", action="store_true", help="and what is appended")
    add("settings", _settings, "print the settings of the last start as shell exports")
    add("clean", _clean, "delete the data").add_argument(
        "--force", action="store_true", help="do not ask; live data too"
    )
    add("page-test", _page_test, "send a test message to every alert channel")
    again = add("backfill", _backfill, "refetch, replay or rebuild a past window and print the report")
    again.add_argument("--mode", choices=["refetch", "replay", "rebuild"], default="refetch", help="what to do")
    again.add_argument("--from", dest="begin", required=True, help="first instant, RFC 3339, UTC")
    again.add_argument("--to", dest="end", required=True, help="exclusive")
    again.add_argument("--products", help="of a refetch, comma-separated; else those that are streamed")
    again.add_argument("--dry-run", action="store_true", help="only say what it would do")
    again.add_argument("--concurrency", type=int, help="tasks that fetch at once, 1 to 8")
    again.add_argument("--everything", action="store_true", help="fetch also what the marts have")
    again.add_argument("--prefix", help="of a replay: load into the datasets of this prefix")
    with_source(add("part", _part, "run one part in the foreground")).add_argument("name", choices=PARTS)
    add(
        "watch-replay",
        _watch_replay,
        "stop the streamer when the recording is played and recorded (the stack runs this)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
