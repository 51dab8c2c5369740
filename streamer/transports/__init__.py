"""The WebSocket client library, behind one seam.

Nothing else in the streamer imports a library: another one is chosen by writing a second `Transport`.
"""

from include.config import ConfigError, TransportName

from .protocol import (
    Connection,
    ConnectionEnded,
    Deliver,
    HandshakeBroken,
    HandshakeRefused,
    Transport,
    TransportError,
)

__all__ = [
    "Connection",
    "ConnectionEnded",
    "Deliver",
    "HandshakeBroken",
    "HandshakeRefused",
    "Transport",
    "TransportError",
    "transport_named",
]


def transport_named(name: TransportName) -> Transport:
    """The transport that PULSE_TRANSPORT names. Raises ConfigError when its package is not installed."""
    # Imported where it is chosen: picows is an extra.
    try:
        if name is TransportName.PICOWS:
            from .picows import picows_transport  # noqa: PLC0415

            return picows_transport
        from .websockets import websockets_transport  # noqa: PLC0415

        return websockets_transport
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"PULSE_TRANSPORT={name}: the package {error.name} is not installed;"
            f" PULSE_TRANSPORT={name} scripts/bootstrap run installs it"
        ) from error
