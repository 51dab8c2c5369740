"""The capture process: everything a WebSocket feed sends, into the spool, in order, exactly once.

How a frame travels: `transport` (the WebSocket library) → `capture` (one connection) → `recorder` (a numbered line)
→ `writer` (one thread that owns the disk) → the spool. `connection` keeps a capture running, `app` runs the process.
"""

__version__ = "0.1.0"
