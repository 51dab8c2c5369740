"""What holds for every test, whatever part it tests."""

from hypothesis import settings

# How long a case takes depends on what else the machine does: time limits are pytest-timeout's, for whole tests.
settings.register_profile("pulse", deadline=None)
settings.load_profile("pulse")
