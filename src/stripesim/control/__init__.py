"""The control plane under `/_sim/`: audit, request log, faults, clock, webhooks."""
