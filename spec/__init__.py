"""An exhaustive model of the pay pipeline: `python -m spec`, or `make spec`.

To be read as a specification, in this order. `stripe`: what Stripe does. `books`: our rows.
`service`, `readying`, `settling`, `errands`: the pipeline, one function per transaction of the code
in `src/paidonce/payments`; `rules`: its rules as switches. `invariants` and `aftermath`: what must
never be seen, in a state and after everything died in it. `explore` (on `engine`): all of it in
every order, with every fault of a configuration (`configurations`). `mutants` and `naive`: what
must be found.

Not in the model: amounts, refunds, capture, settings that change, decline limits, the host's users
table, a database that is put back from a backup. Time is not in it either: whatever may be over (a
lease, a window) may be over at any time; only in "two cards at once" leases last.
"""
