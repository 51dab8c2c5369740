"""What the tests of the exchange's side share."""

import os
from pathlib import Path

RECORDINGS = Path(os.environ.get("PULSE_RECORDINGS", Path(__file__).resolve().parents[3] / "shared" / "recordings"))

# The recordings are not part of the repository.
collect_ignore = [] if RECORDINGS.is_dir() else ["test_recordings.py"]
