"""The real application under a seed: virtual time, seeded order, faults everywhere.

One process holds several instances of paidonce over one database, their workers, the simulator and
the clients. No thread, no socket and no real clock takes part, so a seed decides everything and
plays the same history again. See `run` for one seed, `__main__` for many.
"""
