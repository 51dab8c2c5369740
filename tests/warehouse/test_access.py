"""Rights are added to the datasets' own lists, once, and nothing is taken away."""

import pytest
from google.cloud import bigquery

from include.warehouse.__main__ import main
from include.warehouse.access import Member, grant, project_commands
from include.warehouse.warehouse import Warehouse

PIPELINE = Member.parse("serviceAccount:Pulse@my-project.iam.gserviceaccount.com")
ANALYSTS = Member.parse("group:analysts@example.com")


def _rights(warehouse: Warehouse) -> dict[str, set[tuple[str, str, str]]]:
    """Dataset's role → what its list has beside the owner's usual entries."""
    found = {}
    for role, dataset_id in warehouse.config.datasets()._asdict().items():
        entries = warehouse.client.get_dataset(f"{warehouse.config.project}.{dataset_id}").access_entries
        found[role] = {
            (e.role, e.entity_type, e.entity_id) for e in entries if e.entity_type not in {"specialGroup", "dataset"}
        }
    return found


def test_writers_get_all_datasets_and_readers_the_marts_only(new_warehouse: Warehouse) -> None:
    """Least privilege: who reads reports sees neither raw data nor the ledger."""
    changed = grant(new_warehouse.client, new_warehouse.config, [PIPELINE], [ANALYSTS])

    writer = ("WRITER", "userByEmail", "pulse@my-project.iam.gserviceaccount.com")
    reader = ("READER", "groupByEmail", "analysts@example.com")
    assert _rights(new_warehouse) == {
        "raw": {writer},
        "ops": {writer},
        "staging": {writer},
        "marts": {writer, reader},
    }
    assert len(changed) == 8
    marts = new_warehouse.config.datasets().marts
    assert changed[-1] == f"market-pulse.{marts}: READER to group:analysts@example.com"


def test_a_reader_of_the_marts_needs_no_right_on_what_their_views_read(new_warehouse: Warehouse) -> None:
    """Each dataset lets the views of the one above it read it; without readers none does."""
    config = new_warehouse.config
    datasets = config.datasets()

    def views_let_in(dataset_id: str) -> list[str]:
        entries = new_warehouse.client.get_dataset(f"{config.project}.{dataset_id}").access_entries
        return [e.entity_id["dataset"]["datasetId"] for e in entries if e.entity_type == "dataset"]

    grant(new_warehouse.client, config, [PIPELINE], [])
    assert [views_let_in(dataset_id) for dataset_id in datasets] == [[], [], [], []]

    for _ in range(2):
        grant(new_warehouse.client, config, [PIPELINE], [ANALYSTS])
    assert views_let_in(datasets.staging) == [datasets.marts]
    assert views_let_in(datasets.raw) == views_let_in(datasets.ops) == [datasets.staging]
    assert views_let_in(datasets.marts) == []


def test_the_second_time_nothing_is_written(new_warehouse: Warehouse) -> None:
    """Idempotent, also when the address is written in other letters."""
    grant(new_warehouse.client, new_warehouse.config, [PIPELINE], [ANALYSTS])
    before = _rights(new_warehouse)

    other_letters = Member.parse("serviceAccount:PULSE@my-project.iam.gserviceaccount.com")
    assert grant(new_warehouse.client, new_warehouse.config, [other_letters], [ANALYSTS]) == []
    assert _rights(new_warehouse) == before


def test_a_writer_needs_no_reading_right_besides(new_warehouse: Warehouse) -> None:
    """A role that includes the wanted one counts."""
    grant(new_warehouse.client, new_warehouse.config, [PIPELINE], [])
    added = grant(new_warehouse.client, new_warehouse.config, [], [PIPELINE])
    assert not [line for line in added if "READER" in line]


def test_what_others_entered_stays(new_warehouse: Warehouse) -> None:
    """The list is added to, never replaced."""
    dataset = new_warehouse.client.get_dataset(f"market-pulse.{new_warehouse.config.datasets().raw}")
    before = list(dataset.access_entries)
    dataset.access_entries = [*before, bigquery.AccessEntry("READER", "userByEmail", "auditor@example.com")]
    new_warehouse.client.update_dataset(dataset, ["access_entries"])

    grant(new_warehouse.client, new_warehouse.config, [PIPELINE], [])

    after = new_warehouse.client.get_dataset(dataset.reference).access_entries
    assert len(after) == len(before) + 2
    assert _rights(new_warehouse)["raw"] >= {("READER", "userByEmail", "auditor@example.com")}


@pytest.mark.parametrize(
    "text", ["pulse@example.com", "serviceAccount:", "group:analysts", "everyone:all@x.y", "domain:"]
)
def test_what_is_no_member_is_refused_with_the_form_it_must_have(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A typing mistake must not become an entry that nobody notices."""
    with pytest.raises(SystemExit):
        main(["prepare", "--iam-member", text])
    assert "is no member: it is serviceAccount:" in capsys.readouterr().err


def test_the_right_to_run_jobs_is_left_to_the_projects_owner(new_warehouse: Warehouse) -> None:
    """It cannot be given in a dataset; the command is complete and names each member once."""
    assert project_commands(new_warehouse.config, [PIPELINE, PIPELINE]) == [
        "gcloud projects add-iam-policy-binding market-pulse"
        " --member=serviceAccount:Pulse@my-project.iam.gserviceaccount.com --role=roles/bigquery.jobUser"
        " --condition=None"
    ]
