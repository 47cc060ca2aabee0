"""The real application under a seed: virtual time, seeded order, faults everywhere.

One process holds several instances of paidonce over one database, their workers, the simulator and
the clients. No thread, no socket and no real clock takes part, so a seed decides everything and
plays the same history again. Who is there differs from seed to seed: people with phones always, a
merchant's back office, payment sheets, cards saved without a payment, a server that is told of
events, a clerk and a person at the Dashboard in some. See `run` for one seed, `__main__` for many.
"""
