"""Restarts under load, ten times the load that fits, and a Stripe that hangs: real processes, real
clients, and the auditor at the end. `python -m proof.load`."""
