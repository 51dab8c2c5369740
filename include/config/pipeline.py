"""Settings of the steps of a run and of backfills."""

import enum
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from include.config.fields import COINBASE_REST_URL, RestUrl, Sourced


class Compression(enum.StrEnum):
    """How a batch is sent to BigQuery."""

    NONE = "none"
    GZIP = "gzip"


class PipelineConfig(Sourced, frozen=True, kw_only=True):
    """The steps of the market_pulse DAG."""

    schedule_seconds: Annotated[int, Meta(ge=60, description="Time between two runs of market_pulse, in seconds.")] = (
        120
    )
    seal_timeout_seconds: Annotated[
        int, Meta(ge=1, description="How long the sealer waits for a writer to let go of a segment, in seconds.")
    ] = 10
    seal_processes: Annotated[
        int, Meta(ge=1, le=64, description="A backlog of segments is sealed by at most this many processes at once.")
    ] = 2
    batch_max_bytes: Annotated[
        int, Meta(ge=1024, description="A load batch holds at most this many bytes (one segment at least).")
    ] = 512 * 1024 * 1024
    batch_max_segments: Annotated[
        int, Meta(ge=1, le=10_000, description="A load batch holds at most this many segments.")
    ] = 1000
    load_timeout_seconds: Annotated[
        int, Meta(ge=10, description="A load job not done after this time fails the task; the next try adopts it.")
    ] = 900
    load_start_timeout_seconds: Annotated[
        int,
        Meta(
            ge=1,
            description="A load job still pending after this time, in seconds, fails the task at once, so that somebody"
            " looks; the next run adopts it.",
        ),
    ] = 300
    load_request_timeout_seconds: Annotated[
        int,
        Meta(ge=1, description="A request of the loader that gets no answer for this long, in seconds, is repeated."),
    ] = 60
    load_compression: Annotated[
        Compression,
        Meta(
            description="none or gzip, for uploads. gzip sends a fifth of the bytes, at a third of the speed of one"
            " core, and BigQuery reads it with one reader: for slow lines only."
        ),
    ] = Compression.NONE
    load_pool_slots: Annotated[
        int, Meta(ge=1, description="Batches of a backlog that are loaded at once (Airflow's pool pulse_load).")
    ] = 2
    dead_letters_max: Annotated[
        int,
        Meta(ge=0, description="A batch with more refused lines than this is not loaded: somebody has to look."),
    ] = 100
    probe_jobs_max: Annotated[
        int,
        Meta(ge=0, description="At most this many trial load jobs in search of a batch's refused lines."),
    ] = 200
    archive_url: Annotated[
        str,
        Meta(
            pattern=r"^(gs://[a-z0-9][a-z0-9._-]*(/.*)?|/.*|)$",
            description="Where segments are archived: a folder's absolute path, or gs://bucket/prefix. Unset: in the"
            " spool.",
        ),
    ] = ""
    archive_max_days: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Archived segments of days older than this are deleted. Unset: they are kept."),
    ] = None
    archive_max_bytes: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="The archive is kept below this size, in bytes; the oldest go first. Unset: no limit."),
    ] = None
    task_retries: Annotated[
        int,
        Meta(
            ge=0,
            le=10,
            description="A task is tried again this often before it fails; in market_pulse_maintenance twice at most.",
        ),
    ] = 3
    task_retry_seconds: Annotated[
        int, Meta(ge=0, description="Pause before a failed task of market_pulse is tried again, in seconds.")
    ] = 10
    airflow_retention_days: Annotated[
        int, Meta(ge=1, description="Airflow's metadata and task logs are deleted after this many days.")
    ] = 30
    dbt_manifest: Annotated[
        Path | None, Meta(description="dbt manifest that Cosmos renders. Unset: PULSE_HOME/dbt/target/manifest.json.")
    ] = None

    def resolved_dbt_manifest(self) -> Path:
        """Path of the manifest that `dbt parse` wrote."""
        return self.dbt_manifest or self.home / "dbt" / "target" / "manifest.json"


class BackfillConfig(Sourced, frozen=True, kw_only=True):
    """The market_pulse_backfill DAG."""

    rest_url: RestUrl = COINBASE_REST_URL
    backfill_requests_per_second: Annotated[
        str,
        Meta(
            pattern=r"^[0-9]+(\.[0-9]+)?$",
            description="REST requests a second of all backfill tasks together; the exchange allows an address 10.",
        ),
    ] = "10"
    backfill_trades_max: Annotated[
        int, Meta(ge=1, description="A refetch of more trades than this is refused; it says how to make it smaller.")
    ] = 20_000_000
    backfill_days_max: Annotated[
        int, Meta(ge=1, le=500, description="A backfill of more days than this is refused (Airflow maps a task a day).")
    ] = 92
    backfill_pending_max_bytes: Annotated[
        int,
        Meta(
            ge=1024 * 1024,
            description="A refetch waits while this many bytes of it, in segments, are not in the marts yet: a run of"
            " market_pulse transforms no more of it at once, and so stays fresh.",
        ),
    ] = 64 * 1024 * 1024
