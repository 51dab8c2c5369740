"""The whole product in containers: started, attacked, stopped and started again."""

import itertools
import re
import shlex
import urllib.error
import urllib.request
from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest

from tests.compose.harness import SERVICES, ComposeProject, documented
from tests.e2e.harness import eventually

#: Killed while a run works; the others in between.
IN_A_RUN = ("warehouse", "scheduler", "postgres")
#: Printed by `grep` inside a container, for each process.
_STATUS = "grep -hE '^(Name|Uid|CapInh|CapPrm|CapEff|CapBnd|NoNewPrivs):' /proc/[0-9]*/status || true"
_WRITE = "for d in / /etc /usr /usr/local /opt /home /var; do touch $d/x 2>/dev/null && echo $d; done; true"


def captured_trades(records: list[dict[str, Any]]) -> dict[str, dict[int, dict[str, Any]]]:
    trades: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for record in records:
        if record["type"] in {"match", "last_match"}:
            trades[record["product_id"]].setdefault(record["trade_id"], record)
    return trades


def assert_marts_equal_truth(project: ComposeProject) -> int:
    """The mart has what was captured, each trade once and as the exchange made it; the number of trades.

    Nothing between the first and last trade of a connection is missing.
    """
    records = project.archived_records()
    captured = captured_trades(records)
    marts = project.query("select product_id, trade_id, price, size, maker_side from {marts}.fct_trades")
    assert len(marts) == sum(map(len, captured.values()))
    assert {(row["product_id"], row["trade_id"]) for row in marts} == {
        (product, trade_id) for product, trades in captured.items() for trade_id in trades
    }
    truth = {
        product: {trade["trade_id"]: trade for trade in project.truth(product, min(trades), max(trades))}
        for product, trades in captured.items()
    }
    for row in marts:
        made = truth[row["product_id"]][row["trade_id"]]
        assert (row["price"], row["size"]) == (Decimal(made["price"]), Decimal(made["size"]))
        assert row["maker_side"] == made["maker_side"]
    for product, trades in captured.items():
        for trade_id in truth[product].keys() - trades.keys():
            following = next(other for other in range(trade_id, max(trades) + 1) if other in trades)
            first = trades[following]["type"] == "last_match" or _begins_session(records, trades[following])
            assert first, (product, trade_id, "was lost while connected")
    return len(marts)


def _begins_session(records: list[dict[str, Any]], trade: dict[str, Any]) -> bool:
    same = (r for r in records if r["session_id"] == trade["session_id"] and r.get("product_id") == trade["product_id"])
    return next(r for r in same if r["type"] == "match")["trade_id"] == trade["trade_id"]


@pytest.mark.timeout(1200)
def test_from_nothing_everything_becomes_healthy(project: ComposeProject) -> None:
    """The documented command, no account and no file of settings; it returns when all is healthy."""
    assert sorted(project.compose("ps --services --status running").stdout.split()) == list(SERVICES)
    assert [service for service in SERVICES if not project.is_healthy(service)] == []
    for one_shot in ("preflight", "airflow-init"):
        assert project.inspect(one_shot)["State"]["ExitCode"] == 0


@pytest.mark.timeout(300)
def test_the_shown_login_opens_airflow_and_no_other_does(project: ComposeProject) -> None:
    """The password was generated: the usual default ones are refused, and so is no login."""
    _, user, password = project.login
    assert project.token(password)
    for guess in (user, "airflow", "password", "x"):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            project.token(guess)
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(project.url("PULSE_AIRFLOW_PORT", "/api/v2/dags"), timeout=30)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("service", SERVICES)
def test_nothing_in_a_container_runs_as_root_or_can_become_it(project: ComposeProject, service: str) -> None:
    """Seen from inside: user ids and capabilities of every process, and where it could write."""
    lines = project.compose(f"exec -T {service} sh -c {shlex.quote(_STATUS)}").stdout.splitlines()
    fields = [(name, value.split()) for name, _, value in (line.partition(":") for line in lines)]
    assert sum(name == "Name" for name, _ in fields) >= 1
    assert {uid for name, uids in fields if name == "Uid" for uid in uids} == {
        "999" if service == "postgres" else "50000"
    }
    assert {value[0].strip("0") for name, value in fields if name.startswith("Cap")} == {""}
    assert {value[0] for name, value in fields if name == "NoNewPrivs"} == {"1"}
    assert project.compose(f"exec -T {service} sh -c {shlex.quote(_WRITE)}").stdout.split() == []
    assert project.compose(
        f"exec -T {service} sh -c 'ls /var/run/docker.sock /run/docker.sock'", check=False
    ).returncode


@pytest.mark.timeout(300)
def test_no_port_is_open_to_other_machines(project: ComposeProject) -> None:
    """What the engine publishes, it publishes on loopback."""
    published = {}
    for service in SERVICES:
        bindings = project.inspect(service)["NetworkSettings"]["Ports"] or {}
        published[service] = {binding["HostIp"] for bound in bindings.values() for binding in bound or ()}
    assert {service for service, addresses in published.items() if addresses} == {
        "api-server",
        "simulator",
        "streamer",
        "warehouse",
    }
    assert set().union(*published.values()) == {"127.0.0.1"}


@pytest.mark.timeout(1800)
def test_the_first_run_is_green_and_the_marts_equal_the_truth(project: ComposeProject) -> None:
    """It was scheduled at the start, and nobody touched anything."""
    project.wait_for_all()
    (run,) = project.airflow("dags/market_pulse/dagRuns?limit=100")["dag_runs"]
    project.wait_for(run["dag_run_id"])
    assert assert_marts_equal_truth(project) > 100


@pytest.mark.timeout(600)
def test_the_documented_looks_work(project: ComposeProject) -> None:
    """Each command of the first start's second half ends well."""
    shown = project.shell(documented("look")).stdout
    assert re.search(r'"trades":\s*[1-9]', shown)
    assert "market_pulse" in shown


@pytest.mark.timeout(600)
@pytest.mark.parametrize("service", sorted(set(SERVICES) - set(IN_A_RUN)))
def test_a_killed_container_comes_back(project: ComposeProject, service: str) -> None:
    """kill -9 of its first process from the host: started again and healthy, by itself."""
    project.kill(service)


@pytest.mark.timeout(1800)
def test_containers_killed_while_a_run_works_do_not_stop_the_run(project: ComposeProject) -> None:
    """What the run stands on dies in turn; the run is taken up where it was, and ends green."""
    run_id = project.trigger()
    path = f"dags/market_pulse/dagRuns/{run_id}/taskInstances/load_segments"
    eventually(lambda: project.airflow(path)["state"] in {"running", "success"}, within=300, what="a load works")
    for service in IN_A_RUN:
        project.kill(service)
    project.wait_for(run_id, within=900)


@pytest.mark.timeout(1200)
def test_after_all_kills_nothing_is_lost_and_nothing_is_twice(project: ComposeProject) -> None:
    """raw equals the archived spool, numbered without a hole; the marts equal the truth; fsck finds nothing."""
    project.wait_for(project.trigger())

    records = project.archived_records()
    rows = project.query(
        "select session_id, record_no from {raw}.messages where received_at > timestamp '2020-01-01 00:00:00+00'"
    )
    loaded = sorted((row["session_id"], row["record_no"]) for row in rows)
    assert loaded == sorted((record["session_id"], record["record_no"]) for record in records)
    sessions = {session: [no for _, no in group] for session, group in itertools.groupby(loaded, lambda row: row[0])}
    assert len(sessions) > 1, "the streamer was killed, so there is more than one session"
    for numbers in sessions.values():
        assert numbers == list(range(1, len(numbers) + 1))
    assert_marts_equal_truth(project)


@pytest.mark.timeout(1800)
def test_down_an_older_database_and_up_keeps_everything(project: ComposeProject) -> None:
    """The documented stop and upgrade: rows, runs and login are as before, from the previous release's database."""
    trades = "select product_id, trade_id, price from {marts}.fct_trades order by 1, 2"
    before, login = project.query(trades), project.login
    runs = {run["dag_run_id"] for run in project.airflow("dags/market_pulse/dagRuns?limit=100")["dag_runs"]}

    project.shell(documented("stop"))
    project.compose("run --rm -T airflow-init airflow db downgrade --to-version 3.2.0 --yes")
    project.shell(documented("stop"))
    project.shell(documented("upgrade"), timeout=800)

    assert [row for row in project.query(trades) if row in before] == before
    del project.login
    assert project.login == login
    assert {run["dag_run_id"] for run in project.airflow("dags/market_pulse/dagRuns?limit=100")["dag_runs"]} >= runs
    project.wait_for(project.trigger())
    assert_marts_equal_truth(project)
