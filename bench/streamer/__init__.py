"""How much CPU a captured message costs: our streamer and its peers, alternating in one run."""
