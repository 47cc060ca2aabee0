"""An exhaustive model of the pay pipeline: `python -m spec`, or `make spec`.

`stripe` says what Stripe does, `books` what our rows hold, `service` (with `settling` and
`errands`) what the pipeline does, one function per transaction. `explore` runs all of it in every
order with every fault of a configuration, and `invariants` says what must never be seen.
"""
