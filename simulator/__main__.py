"""Command line of the simulator."""

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from include.config import ConfigError, SimulatorConfig, load, variables
from simulator.errors import SimulatorError
from simulator.recording import RecordingError, recorded_product_ids

_USAGE_ERROR = 2


def main() -> int:
    """Serve, or print a recording's products; 2 when it cannot."""
    arguments = _parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("websockets").setLevel(logging.WARNING)
    try:
        if arguments.products is not None:
            sys.stdout.write(",".join(recorded_product_ids(arguments.products)) + "\n")
        else:
            from simulator.server import run  # noqa: PLC0415 - takes long to load; --products needs none of it

            asyncio.run(run(load(SimulatorConfig)))
    except (ConfigError, SimulatorError, RecordingError) as error:
        sys.stderr.write(f"simulator: {error}\n")
        return _USAGE_ERROR
    return 0


def _parser() -> argparse.ArgumentParser:
    settings = "\n".join(f"  {name}\n      {text}" for name, text in variables(SimulatorConfig).items())
    parser = argparse.ArgumentParser(
        prog="python -m simulator",
        description="A fake Coinbase Exchange (feed, REST, truth, fault controls), or the replay of a recording.",
        epilog=f"Settings are environment variables:\n{settings}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--products", metavar="FILE", type=Path, help="print the product ids of a recording, comma-separated, and end"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
