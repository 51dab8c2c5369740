"""What ends the simulator with a message for its operator."""


class SimulatorError(Exception):
    """Cannot start or go on. The text names the variable or file concerned and what to do; the process exits with 2."""
