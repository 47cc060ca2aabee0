"""Proof of the promise: every crash, race, fault and late message, judged by an auditor that shares
no code with the service. Nothing here is part of the product."""
