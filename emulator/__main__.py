"""`python -m emulator`: read the settings, take folder and ports, serve until SIGTERM or Ctrl-C."""

import argparse
import signal
import sys
from types import FrameType

from emulator.claims import ClaimError, check_port, claim_folder, claim_port
from include.config import ConfigError, EmulatorConfig, load, variables

EXIT_USAGE = 2


def main() -> int:
    """Run the warehouse. 0: stopped by a signal; 2: a setting, a port or the folder is not usable."""
    _parse_arguments()
    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, _stop)
    try:
        config = load(EmulatorConfig)
        folder = config.resolved_dir().absolute()
        with (
            claim_folder(folder),
            claim_port(config.warehouse_host, config.warehouse_port, "PULSE_WAREHOUSE_PORT") as rest,
        ):
            check_port(config.warehouse_host, config.warehouse_grpc_port, "PULSE_WAREHOUSE_GRPC_PORT")
            # Imported late: the packages behind it take two seconds, which a wrong setting need not wait for.
            from emulator.server import serve  # noqa: PLC0415

            serve(config, folder, rest)
    except (ConfigError, ClaimError) as error:
        print(f"emulator: {error}", file=sys.stderr)  # noqa: T201 - the only output of a refused start
        return EXIT_USAGE
    return 0


def _parse_arguments() -> None:
    settings = "\n".join(f"  {name:26} {text}" for name, text in variables(EmulatorConfig).items())
    argparse.ArgumentParser(
        prog="python -m emulator",
        description="The local warehouse: BigQuery's REST and Storage APIs on this machine.",
        epilog=f"It is configured by the environment:\n{settings}\n\nGET /healthz answers 200 when it serves.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()


def _stop(_signal: int, _frame: FrameType | None) -> None:
    """Uvicorn takes this handler's place while it serves and raises the signal again when it has shut down."""
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
