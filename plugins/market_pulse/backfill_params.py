"""What a run of market_pulse_backfill is asked for: the form of "Trigger", and the schema that the REST API checks.

What a schema cannot say (is the window's start before its end?) `include.pipeline.backfill.request` checks.
"""

from airflow.sdk import Param

from include.config import StreamerConfig, load

CONCURRENCY_MAX = 8

#: RFC 3339, with or without seconds and offset.
_INSTANT = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})?$"

#: Modes, and the first task of each.
FIRST_STEPS = {
    "refetch": "refetch.plan_refetch",
    "replay": "replay.replay_archive",
    "rebuild": "rebuild.plan_rebuild",
}


def params() -> dict[str, Param]:
    """What "Trigger DAG" asks for: the form, and the schema that the REST API checks."""
    return {
        "mode": Param(
            "refetch",
            type="string",
            title="Mode",
            enum=list(FIRST_STEPS),
            description_md="**refetch**: trades of the window from the exchange's REST API. **replay**: archived "
            "segments of the window again into raw. **rebuild**: marts of the window's days again from raw.",
        ),
        "window_start": Param(
            type="string",
            format="date-time",
            pattern=_INSTANT,  # Airflow checks formats only where a further package is installed
            title="Window start",
            description="In the time zone that the picker names; the clock at the bottom left switches this page to "
            "UTC. In JSON: 2026-07-07T00:00:00Z. A refetch takes trades by their exchange time, a replay segments by "
            "their receipt, a rebuild whole days of UTC.",
        ),
        "window_end": Param(
            type="string",
            format="date-time",
            pattern=_INSTANT,  # Airflow checks formats only where a further package is installed
            title="Window end (exclusive)",
            description="The first instant that does not belong to the window any more.",
        ),
        "products": Param(
            list(load(StreamerConfig).product_ids()),
            type="array",
            items={"type": "string", "pattern": "^[A-Z0-9]+-[A-Z0-9]+$"},
            uniqueItems=True,
            title="Products",
            description="Of a refetch, one a line; also such as were never streamed. Replay and rebuild take all.",
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description="Only say what it would do: requests, rows, bytes, time, what is there already.",
        ),
        "concurrency": Param(
            3,
            type="integer",
            minimum=1,
            maximum=CONCURRENCY_MAX,
            title="Concurrency",
            description="Tasks that fetch at once. All of them together keep to the exchange's 10 requests a second.",
        ),
        "only_missing": Param(
            True,
            type="boolean",
            title="Only what is missing",
            description="Of a refetch: leave out what the marts have. Off: fetch everything; what is there stays.",
        ),
        "dataset_prefix": Param(
            None,
            type=["null", "string"],  # the form takes no empty text for a string
            pattern="^([a-z][a-z0-9_]{0,99})?$",
            title="Dataset prefix",
            description="Of a replay: load into the datasets of this prefix instead of the original ones. Else leave "
            "it empty.",
        ),
    }
