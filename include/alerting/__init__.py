"""Alerts: what there is to alert of, one incident a cause, and who is told what. Free of Airflow, and a leaf.

`AlertDesk` decides and remembers; it returns what is to be sent, and the caller sends it: Airflow through its providers
(`market_pulse.channels`), the streamer through `senders`.
"""

from include.alerting.catalogue import ALERTS, Alert, Origin, Severity
from include.alerting.desk import AlertDesk, Delivery, Dispatch
from include.alerting.incidents import Facts, Incident, Kind, Occurrence, Waiting
from include.alerting.message import Message
from include.alerting.routing import configured_channels
from include.alerting.secrets import AlertConfigError, Secrets

__all__ = [
    "ALERTS",
    "Alert",
    "AlertConfigError",
    "AlertDesk",
    "Delivery",
    "Dispatch",
    "Facts",
    "Incident",
    "Kind",
    "Message",
    "Occurrence",
    "Origin",
    "Secrets",
    "Severity",
    "Waiting",
    "configured_channels",
]
