"""`make page-test`: a message to every configured channel, and what became of it."""

import sys
from collections.abc import Callable, Sequence

import msgspec

from include.alerting.desk import AlertDesk, Delivery, Dispatch
from include.alerting.incidents import Kind
from include.config import AlertConfig, ChannelName

OK, FAILED = 0, 1

Send = Callable[[Dispatch, AlertConfig], Sequence[Delivery]]


def page_test(name: str, config: AlertConfig, send: Send, *, with_connections: bool) -> int:
    """Send and print a line a channel, under the name of who sends; the exit status.

    PagerDuty's incident is resolved again. No channel at all is a failure: nobody would be told of anything.
    """
    dispatch = AlertDesk(config, with_connections=with_connections).test()
    if not dispatch.channels:
        sys.stdout.write(f"{name:<10}no channel has an address: docs/alerting.md\n")
        return FAILED
    deliveries = [*send(dispatch, config)]
    if Delivery(ChannelName.PAGERDUTY) in deliveries:
        over = msgspec.structs.replace(dispatch.message, kind=Kind.RECOVERED)
        deliveries += [
            Delivery(each.channel, f"resolving: {each.error}")
            for each in send(Dispatch(message=over, channels=(ChannelName.PAGERDUTY,)), config)
            if each.error
        ]
    for delivery in deliveries:
        sys.stdout.write(f"{name:<10}{delivery.channel:<11}{delivery.error or 'ok'}\n")
    return FAILED if any(each.error for each in deliveries) else OK
