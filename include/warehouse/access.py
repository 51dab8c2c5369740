"""Who may use the datasets: entries in each dataset's own access list, added and never taken away.

A member is written as in IAM: `serviceAccount:…`, `user:…`, `group:…` or `domain:…`. Writers get every dataset of this
installation, readers the marts only; as some marts are views, the datasets these read let them (authorized datasets),
so that a reader sees their rows and nothing else of those datasets. What a dataset's list cannot grant, running jobs,
is a role in the project and is left to its owner: `project_commands` says how.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from google.cloud import bigquery

from include.config import WarehouseConfig

#: The names BigQuery itself gives the roles dataEditor and dataViewer in a dataset's list.
WRITER = "WRITER"
READER = "READER"
_ENTITY_TYPES = {"serviceAccount": "userByEmail", "user": "userByEmail", "group": "groupByEmail", "domain": "domain"}
#: Dataset → the one whose views may read it for readers.
_READ_BY_VIEWS_OF = {"staging": "marts", "raw": "staging", "ops": "staging"}
#: Roles that include the wanted one.
_COVERED_BY = {WRITER: {"WRITER", "OWNER"}, READER: {"READER", "WRITER", "OWNER"}}


class Member(NamedTuple):
    """One holder of a right. `text` is what the user wrote."""

    text: str
    entity_type: str
    entity_id: str

    @classmethod
    def parse(cls, text: str) -> "Member":
        """Raises ValueError for what is no member."""
        kind, separator, name = text.partition(":")
        wrong_name = not name or (kind != "domain" and "@" not in name)
        if not separator or kind not in _ENTITY_TYPES or wrong_name:
            raise ValueError(
                f"{text!r} is no member: it is serviceAccount:, user: or group: with an e-mail address, or domain: with"
                " a name"
            )
        return cls(text, _ENTITY_TYPES[kind], name.lower())


def grant(
    client: bigquery.Client, config: WarehouseConfig, writers: Iterable[Member], readers: Iterable[Member]
) -> list[str]:
    """Add the entries that are missing; one line for each that was added (empty: all were there).

    The datasets must exist. Raises google.api_core.exceptions.Forbidden where the caller does not own a dataset, and
    PreconditionFailed when somebody else changed its list meanwhile: then nothing of it was written.
    """
    writers, readers = list(writers), list(readers)
    datasets = config.datasets()._asdict()
    changed = []
    for role, dataset_id in datasets.items():
        wanted = [_Wanted(WRITER, member.entity_type, member.entity_id, member.text) for member in writers]
        if role == "marts":
            wanted += [_Wanted(READER, member.entity_type, member.entity_id, member.text) for member in readers]
        elif readers:
            wanted.append(_views_of(config.project, datasets[_READ_BY_VIEWS_OF[role]]))
        changed += _grant_in(client, f"{config.project}.{dataset_id}", wanted)
    return changed


def project_commands(config: WarehouseConfig, members: Iterable[Member]) -> list[str]:
    """The commands that let members run jobs, which is a right in the project."""
    return [
        f"gcloud projects add-iam-policy-binding {config.project} --member={member.text} --role=roles/bigquery.jobUser"
        " --condition=None"
        for member in dict.fromkeys(members)
    ]


class _Wanted(NamedTuple):
    """An entry that a dataset's list shall have; `text` is for people. Views have no role."""

    role: str | None
    entity_type: str
    entity_id: Any
    text: str

    def is_in(self, entries: Iterable[bigquery.AccessEntry]) -> bool:
        """Whether an entry, or one that includes it, is there."""
        roles = _COVERED_BY[self.role] if self.role else {None}
        return any(
            entry.entity_type == self.entity_type
            and entry.role in roles
            and _comparable(entry.entity_id) == _comparable(self.entity_id)
            for entry in entries
        )


def _comparable(entity_id: Any) -> Any:
    """E-mail addresses and domains are the same in any letters; of a dataset's entry, what it names."""
    return entity_id.lower() if isinstance(entity_id, str) else entity_id["dataset"]


def _views_of(project: str, dataset_id: str) -> _Wanted:
    reference = {"projectId": project, "datasetId": dataset_id}
    return _Wanted(None, "dataset", {"dataset": reference, "targetTypes": ["VIEWS"]}, f"the views of {dataset_id}")


def _grant_in(client: bigquery.Client, dataset_id: str, wanted: Iterable[_Wanted]) -> list[str]:
    dataset = client.get_dataset(dataset_id)
    entries = list(dataset.access_entries)
    added = []
    for entry in wanted:
        if not entry.is_in(entries):
            entries.append(bigquery.AccessEntry(entry.role, entry.entity_type, entry.entity_id))
            added.append(f"{dataset_id}: {entry.role or 'reading'} to {entry.text}")
    if added:
        dataset.access_entries = entries
        client.update_dataset(dataset, ["access_entries"])  # with the etag that was read
    return added
