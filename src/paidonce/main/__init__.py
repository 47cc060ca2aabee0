"""Wires the parts together; the only room that knows all of them. `app` is the service, `worker`
its recovery alone; `commands`, `moving_in` and `users` are what an operator runs. `parts`, `schema`
and `running` are what they share."""

from paidonce.main.app import build_app, build_router

__all__ = ["build_app", "build_router"]
