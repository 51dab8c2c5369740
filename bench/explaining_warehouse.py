"""The local warehouse with one more endpoint: POST /explain, GoogleSQL in the body, runs a query, tells what it read.

The answer is DuckDB's plan after the run: for each scan of a stored table its name, how many of its files were opened,
and how many there are. Files stay as they were written, so that a test knows them: no upkeep merges them.
`python -m bench.explaining_warehouse` starts like `python -m emulator`.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

import emulator.__main__


async def explain(request: Any) -> Any:
    """Handler of the endpoint."""
    from fastapi.concurrency import run_in_threadpool  # noqa: PLC0415 - of the warehouse's environment
    from starlette.responses import JSONResponse  # noqa: PLC0415

    query = (await request.body()).decode()
    return JSONResponse(await run_in_threadpool(_explain, query))


def _explain(query: str) -> list[dict[str, object]]:
    from local_bigquery.engine import database  # noqa: PLC0415
    from local_bigquery.settings import settings  # noqa: PLC0415
    from local_bigquery.sql.rules import ddl  # noqa: PLC0415
    from local_bigquery.sql.translate import Context, parse, translate  # noqa: PLC0415

    from emulator.fixes.commit_tags import METADATA  # noqa: PLC0415

    (tree,) = parse(query)
    sql, bound = translate(ddl.normalise(tree), Context(settings.default_project_id, None))
    with database.cursor() as cursor:
        cursor.execute(f"USE {database.quote(settings.default_project_id, settings.default_dataset_id)}")
        ((_, plan),) = cursor.execute(f"EXPLAIN (ANALYZE, FORMAT json) {sql}", bound).fetchall()
    lake = database.quote(METADATA + settings.default_project_id)
    files = dict(
        database.fetch(
            f"SELECT table_name, count(*) FROM {lake}.ducklake_table AS tables JOIN {lake}.ducklake_data_file AS files "  # noqa: S608 - quoted
            "USING (table_id) WHERE tables.end_snapshot IS NULL AND files.end_snapshot IS NULL GROUP BY table_name"
        )
    )
    return [{"table": table, "read": read, "files": files.get(table, 0)} for table, read in _scans(json.loads(plan))]


def _scans(node: Any) -> Iterator[tuple[str, int]]:
    """Table and files opened, of every scan of a plan; a table without data has no files to open."""
    for member in node if isinstance(node, list) else [node]:
        details = member.get("extra_info", {})
        if "Total Files Read" in details:
            yield details["Table"], int(details["Total Files Read"])
        yield from _scans(member.get("children", []))


def main() -> int:
    """As the emulator's."""
    from local_bigquery.app import app  # noqa: PLC0415

    from emulator.fixes import upkeep  # noqa: PLC0415

    upkeep.JOBS_BETWEEN = sys.maxsize
    app.add_route("/explain", explain, methods=["POST"])
    return emulator.__main__.main()


if __name__ == "__main__":
    sys.exit(main())
