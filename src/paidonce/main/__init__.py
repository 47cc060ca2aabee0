"""Wires the parts together; the only room that knows all of them. `app` is the service, `worker`
its recovery alone, the others are commands."""

from paidonce.main.app import build_app, build_router

__all__ = ["build_app", "build_router"]
