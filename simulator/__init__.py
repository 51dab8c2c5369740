"""A fake Coinbase Exchange: WebSocket feed, REST, truth ledger, fault controls, and a replayer of recordings.

It imports nothing of ours but `include.config`: what it says about its trades must not share code with what is judged
by it.
"""
