"""Command line of the capture process."""

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Iterator

from include.config import AlertConfig, ConfigError, PagerConfig, StreamerConfig, load
from include.spool import Spool, SpoolError, SpoolLocked
from streamer import logs, preflight
from streamer.app import Streamer
from streamer.pager import PagerSettings
from streamer.transports import TransportError
from streamer.writer import DiskFailed

OK, FAILED, MISCONFIGURED, LOCKED = range(4)

_EPILOG = """\
Settings are environment variables, described in docs/configuration.md; --print-config shows those in effect.
SIGTERM or Ctrl-C stops: everything received is synced and handed over to the sealer first.

exit status:
  0  stopped by a signal, or --check found nothing
  1  the feed or the disk failed in a way that trying again does not mend, or --check found something
  2  a setting is wrong, the HTTP port is taken, or the spool belongs to another source or version
  3  another streamer with the same PULSE_STREAMER_ID runs on this spool
"""

log = logging.getLogger("streamer")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m streamer",
        description="Capture the Coinbase market data feed into the spool.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument(
        "--check", action="store_true", help="check settings, spool and reachability of the feed, then exit"
    )
    modes.add_argument("--print-config", action="store_true", help="print the settings in effect, then exit")
    options = parser.parse_args(arguments)
    try:
        config = preflight.load_config()
        if options.print_config:
            sys.stdout.write(preflight.describe(config))
            return OK
        if options.check:
            return OK if preflight.check(config, lambda line: sys.stdout.write(f"{line}\n")) else FAILED
        return capture(config)
    except SpoolLocked as error:
        return _refuse(error, LOCKED)
    except (ConfigError, SpoolError) as error:
        return _refuse(error, MISCONFIGURED)


def capture(config: StreamerConfig) -> int:
    """Run a session; the exit status. Raises ConfigError and SpoolError before anything is captured."""
    logs.configure()
    pager = PagerSettings(load(PagerConfig), load(AlertConfig))
    status = OK
    try:
        spool = _open_spool(config)
        with spool.lock_streamer(config.streamer_id):
            asyncio.run(_run_until_signal(config, spool, pager))
    except* (DiskFailed, TransportError) as group:
        for error in _single_errors(group):
            log.error("giving up", extra={"error": str(error)})
        status = FAILED
    return status


def _single_errors(group: ExceptionGroup[Exception]) -> Iterator[Exception]:
    for error in group.exceptions:
        if isinstance(error, ExceptionGroup):
            yield from _single_errors(error)
        else:
            yield error


def _open_spool(config: StreamerConfig) -> Spool:
    path = config.resolved_spool_dir()
    try:
        return Spool.open(path, config.resolved_source().value, create=True)
    except OSError as error:
        raise DiskFailed(f"PULSE_SPOOL_DIR={path}: the spool cannot be opened: {error}") from error


async def _run_until_signal(config: StreamerConfig, spool: Spool, pager: PagerSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await Streamer(config, spool, pager=pager).run(stop)


def _refuse(error: Exception, status: int) -> int:
    sys.stderr.write(f"streamer: {error}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
