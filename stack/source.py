"""SOURCE=auto|live|simulated|replay → a source, by what was asked, what is set, and whether the live feed answers."""

import asyncio
import ssl
import subprocess
from collections.abc import Callable, Mapping

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from include.config import SimulatorConfig, Source, StackConfig, StreamerConfig, load, variable_name
from stack.errors import StackError
from stack.installation import Installation
from stack.plan import Plan, SourceChoice, make_plan

Say = Callable[[str], None]
Probe = Callable[[str, float], str | None]


def configured_source(choice: SourceChoice, environ: Mapping[str, str]) -> Source | None:
    """The source as asked for or, with `auto`, as the environment says; None when neither does."""
    if choice is not SourceChoice.AUTO:
        return Source(choice.value)
    streamer = load(StreamerConfig, environ)
    if streamer.source is not None:
        return streamer.source
    if load(SimulatorConfig, environ).replay_file is not None:
        return Source.REPLAY
    return streamer.resolved_source() if environ.get(variable_name("feed_url")) else None


def probe(feed_url: str, seconds: float) -> str | None:
    """Try TCP, TLS and WebSocket handshake within `seconds`; None when all succeed, else what stood in the way."""

    async def handshake() -> None:
        async with asyncio.timeout(seconds), connect(feed_url, open_timeout=None, close_timeout=1):
            pass

    try:
        asyncio.run(handshake())
    except TimeoutError:
        return f"no answer within {seconds:g} s"
    except ssl.SSLError as error:
        return f"TLS: {error.reason or error}"
    except (OSError, WebSocketException) as error:
        return str(error) or type(error).__name__
    return None


def choose_source(choice: SourceChoice, environ: Mapping[str, str], say: Say, probe: Probe = probe) -> Source:
    """The configured source; without one, live if the exchange's feed can be reached, else simulated.

    Says which and why.
    """
    if (configured := configured_source(choice, environ)) is not None:
        return configured
    feed_url = load(StreamerConfig, environ).feed_url
    seconds = load(StackConfig, environ).live_probe_seconds
    say(f"Source: trying {feed_url} for up to {seconds} s")
    obstacle = probe(feed_url, seconds)
    if obstacle is None:
        say("Source: live")
        return Source.LIVE
    say(f"Source: simulated, because the live feed cannot be reached ({obstacle}). SOURCE=live insists on it.")
    return Source.SIMULATED


def plan_for(source: Source, environ: Mapping[str, str], installation: Installation) -> Plan:
    """The complete plan of a source; a replay's products come from the recording unless PULSE_PRODUCTS names them.

    Raises StackError when the recording is missing or cannot be read.
    """
    plan = make_plan(source, environ, installation.repository)
    if source is not Source.REPLAY or not plan.own_feed or plan.replay_file is None:
        return plan
    if not plan.replay_file.is_file():
        raise StackError(f"REPLAY={plan.replay_file}: no such file")
    if variable_name("products") in plan.settings:
        return plan
    command = [installation.executable("core", "python"), "-m", "simulator", "--products", str(plan.replay_file)]
    done = subprocess.run(command, cwd=installation.repository, capture_output=True, text=True, check=False)
    products = ",".join(done.stdout.replace(",", " ").split())
    if done.returncode != 0 or not products:
        raise StackError(
            f"REPLAY={plan.replay_file}: no products found in this recording. {done.stderr.strip()[-500:]}"
        )
    return plan.with_settings({variable_name("products"): products})
