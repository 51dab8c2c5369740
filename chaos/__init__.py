"""Exactly once, under fire: the real parts are killed and lied to, and a judge of their own counts the books."""
