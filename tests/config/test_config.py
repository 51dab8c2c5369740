"""Settings: defaults, refusals, and the reference that documents them."""

import re
from pathlib import Path

import pytest

from include.config import (
    AlertConfig,
    ConfigError,
    PipelineConfig,
    Source,
    StreamerConfig,
    WarehouseConfig,
    is_secret,
    load,
    variables,
)
from include.config.__main__ import reference
from include.config.settings import ALL_CONFIGS

REPO = Path(__file__).resolve().parents[2]


def test_the_documented_defaults_hold_in_an_empty_environment() -> None:
    """Without any variable the streamer captures the three products from Coinbase."""
    config = load(StreamerConfig, {})

    assert config.feed_url == "wss://ws-feed.exchange.coinbase.com"
    assert config.products == ("BTC-USD", "ETH-USD", "XRP-USD")
    assert config.channels == ("matches", "ticker", "heartbeat")
    assert config.resolved_source() is Source.LIVE


def test_an_empty_variable_counts_as_unset() -> None:
    """`PULSE_PRODUCTS=` in an env file means the default, as with most tools."""
    assert load(StreamerConfig, {"PULSE_PRODUCTS": " "}) == load(StreamerConfig, {})


def test_a_list_is_split_at_commas() -> None:
    """Blanks around the commas do not matter."""
    assert load(StreamerConfig, {"PULSE_PRODUCTS": "SKL-GBP, BTC-USD,"}).products == ("SKL-GBP", "BTC-USD")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PULSE_PRODUCTS", "btc-usd"),
        ("PULSE_PRODUCTS", ","),
        ("PULSE_FEED_URL", "https://example.org"),
        ("PULSE_STREAMER_PORT", "70000"),
        ("PULSE_STREAMER_PORT", "http"),
        ("PULSE_SOURCE", "real"),
        ("PULSE_STREAMER_ID", "Streamer One"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_variable(name: str, value: str) -> None:
    """The message holds the variable and the value, so that nobody has to guess."""
    with pytest.raises(ConfigError, match=re.escape(f"{name}={value!r}")):
        load(StreamerConfig, {name: value})


def test_a_secret_that_does_not_fit_is_named_and_not_shown() -> None:
    """An address with a token in it does not end in a log because it was misspelt."""
    with pytest.raises(ConfigError, match="PULSE_ALERT_SLACK_URL") as error:
        load(AlertConfig, {"PULSE_ALERT_SLACK_URL": "hooks.slack.example/T0/token"})

    assert "token" not in str(error.value)
    secrets = {name for config in ALL_CONFIGS for name in variables(config) if is_secret(name)}
    assert secrets == {
        "PULSE_ALERT_SLACK_URL",
        "PULSE_ALERT_PAGERDUTY_KEY",
        "PULSE_ALERT_SMTP_PASSWORD",
        "PULSE_ALERT_WEBHOOK_URL",
        "PULSE_ALERT_WEBHOOK_TOKEN",
        "PULSE_DEADMAN_URL",
    }


def test_an_unknown_variable_is_refused_with_the_nearest_name() -> None:
    """A misspelt setting is an error and not a silent default."""
    with pytest.raises(ConfigError, match=r"PULSE_CHANEL is not a setting.*Did you mean PULSE_CHANNELS"):
        load(StreamerConfig, {"PULSE_CHANEL": "matches"})


def test_a_component_accepts_the_variables_of_the_others() -> None:
    """One environment serves all processes."""
    load(StreamerConfig, {"PULSE_AIRFLOW_PORT": "8081", "PULSE_RECORDINGS": "x"})


@pytest.mark.parametrize(
    ("environ", "datasets"),
    [
        ({}, ("pulse_raw", "pulse_ops", "pulse_staging", "pulse_marts")),
        ({"PULSE_SOURCE": "simulated"}, ("pulse_sim_raw", "pulse_sim_ops", "pulse_sim_staging", "pulse_sim_marts")),
        (
            {"PULSE_FEED_URL": "ws://127.0.0.1:9443"},
            ("pulse_sim_raw", "pulse_sim_ops", "pulse_sim_staging", "pulse_sim_marts"),
        ),
        (
            {"PULSE_SOURCE": "replay", "PULSE_DATASET_PREFIX": "mine"},
            ("mine_replay_raw", "mine_replay_ops", "mine_replay_staging", "mine_replay_marts"),
        ),
    ],
)
def test_made_up_data_never_share_a_dataset_with_live_data(environ: dict[str, str], datasets: tuple[str, ...]) -> None:
    """The source is part of every dataset name, whatever the prefix."""
    assert tuple(load(WarehouseConfig, environ).datasets()) == datasets


def test_sources_do_not_share_a_spool_folder_by_default() -> None:
    """Each source has a spool of its own below PULSE_HOME."""
    folders = {load(PipelineConfig, {"PULSE_SOURCE": source.value}).resolved_spool_dir() for source in Source}

    assert len(folders) == len(Source)


def test_a_look_alike_host_is_not_live() -> None:
    """Only coinbase.com and its subdomains are the live source."""
    assert load(StreamerConfig, {"PULSE_FEED_URL": "wss://evilcoinbase.com"}).resolved_source() is Source.SIMULATED


def test_every_setting_is_described() -> None:
    """No variable reaches the reference without a meaning."""
    missing = [name for config in ALL_CONFIGS for name, description in variables(config).items() if not description]

    assert missing == []


def test_the_reference_is_up_to_date() -> None:
    """docs/configuration.md is what the classes say: `python -m include.config > docs/configuration.md`."""
    assert (REPO / "docs" / "configuration.md").read_text() == reference()
