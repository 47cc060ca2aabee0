"""Stripe's objects: one file each, with the calls that act on them."""
