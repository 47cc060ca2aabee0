"""`paidonce demo`: the simulator, the service and a page that plays the app, on one machine."""

from paidonce.demo.processes import Demo, DemoError

__all__ = ["Demo", "DemoError"]
