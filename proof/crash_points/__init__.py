"""Every point at which paidonce can die is died at: `python -m proof.crash_points`.

A flow (`flows`) is what a client, Stripe and time do to the service. A clean run records its steps:
every Stripe call and every commit, as `paidonce.observability.step` announces them. Then the flow
is run again once for every recorded step, before and after it, in a real process that is killed
there (SIGKILL, by itself, inside the step), and once for everything that may come after a death.
So a new step is covered as soon as any flow passes it.

Read `runs` for one run, `service`, `phone` and `shop` for whoever talks to the service, `life` for
the process that dies.
"""
