"""Which archive is configured, and who may change it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from include.config import PipelineConfig
from include.pipeline.bucket_store import SCHEME, BucketStore
from include.pipeline.loader_lock import LoaderBusy, spool_lock
from include.spool import Archive, FolderStore, Spool

LOCK_NAME = "_archive.lock"


class ArchiveBusy(LoaderBusy):
    """Another process changes the archive of this spool."""


def open_archive(spool: Spool, config: PipelineConfig) -> Archive:
    """The archive that PULSE_ARCHIVE_URL names; data of each source lie in a folder of their own.

    Raises ModuleNotFoundError for a bucket without the client library, and what that library raises without
    credentials.
    """
    url = config.archive_url
    if not url:
        return Archive.in_spool(spool)
    if url.startswith(SCHEME):
        return Archive(BucketStore.connect(url, folder=spool.source))
    return Archive(FolderStore(Path(url) / spool.source))


@contextlib.contextmanager
def archive_lock(spool: Spool) -> Iterator[None]:
    """Hold the lock of this spool's archive, under which it is changed; raises ArchiveBusy at once."""
    with spool_lock(spool, LOCK_NAME, ArchiveBusy):
        yield
