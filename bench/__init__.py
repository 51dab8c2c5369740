"""Benchmarks. Nothing of the product imports them; see README.md."""
