"""Where recorded traffic lies."""

import os
from pathlib import Path

_REPOSITORY = Path(__file__).parents[3]

RECORDINGS = Path(os.environ.get("PULSE_RECORDINGS", _REPOSITORY.parent / "shared" / "recordings"))
