"""Stripe's HTTP conventions: forms, parameters, keys, errors, expansion, versions, paging."""
