"""`python -m include.warehouse`: the warehouse from the command line."""

import argparse
import sys

import msgspec
from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError

from include.config import ConfigError, WarehouseConfig, load
from include.warehouse.access import Member, grant, project_commands
from include.warehouse.status import figures
from include.warehouse.tables import SchemaMismatch
from include.warehouse.warehouse import Warehouse

EXIT_USAGE = 2
EXIT_REFUSED = 1


def main(arguments: list[str] | None = None) -> int:
    """0: done; 1: the warehouse refused; 2: a setting is wrong."""
    options = _parser().parse_args(arguments)
    try:
        warehouse = Warehouse.connect(load(WarehouseConfig))
        for line in _COMMANDS[options.command](warehouse, options):
            sys.stdout.write(line + "\n")
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_USAGE
    except GoogleAuthError as error:
        sys.stderr.write(
            f"BigQuery of project {load(WarehouseConfig).project}: {error}. Give a service account's key "
            "(GOOGLE_APPLICATION_CREDENTIALS) or run where the machine has one; docs/deployment.md\n"
        )
        return EXIT_REFUSED
    except (SchemaMismatch, exceptions.GoogleAPIError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_REFUSED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m include.warehouse", description="The warehouse that the environment names."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    prepare = commands.add_parser(
        "prepare", help="create or complete datasets, tables and views; prints what was changed"
    )
    for option, text in (
        (
            "--iam-member",
            "who shall read and write all datasets, for example serviceAccount:pulse@p.iam.gserviceaccount.com",
        ),
        ("--iam-reader", "who shall read the marts, for example group:analysts@example.com"),
    ):
        prepare.add_argument(option, metavar="MEMBER", type=_member, action="append", default=[], help=text)
    commands.add_parser("status", help="print rows in the marts, the last batch and freshness as JSON")
    query = commands.add_parser("query", help="run one statement and print each row as a JSON object")
    query.add_argument("sql", help="GoogleSQL; {raw}, {ops}, {staging} and {marts} stand for the datasets")
    return parser


def _member(text: str) -> Member:
    try:
        return Member.parse(text)
    except ValueError as error:  # argparse would replace its text
        raise argparse.ArgumentTypeError(str(error)) from None


def _prepare(warehouse: Warehouse, options: argparse.Namespace) -> list[str]:
    """Tables first, then rights; the commands for the rights that a dataset cannot give are comments."""
    changed = warehouse.prepare()
    writers, readers = options.iam_member, options.iam_reader
    changed += grant(warehouse.client, warehouse.config, writers, readers)
    return changed + [
        f"# by the project's owner: {line}" for line in project_commands(warehouse.config, writers + readers)
    ]


def _status(warehouse: Warehouse, _: argparse.Namespace) -> list[str]:
    return [msgspec.json.format(msgspec.json.encode(figures(warehouse.client, warehouse.config))).decode()]


def _query(warehouse: Warehouse, options: argparse.Namespace) -> list[str]:
    sql = options.sql
    for role, dataset in warehouse.config.datasets()._asdict().items():
        sql = sql.replace("{" + role + "}", dataset)
    return [msgspec.json.encode(dict(row)).decode() for row in warehouse.client.query_and_wait(sql)]


_COMMANDS = {"prepare": _prepare, "status": _status, "query": _query}


if __name__ == "__main__":
    sys.exit(main())
