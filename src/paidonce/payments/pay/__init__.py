"""An order's money, on its way in. Follow one pay request: `pay` -> `claim` (T1) -> `prepare` (P1,
P2, P4, P5) -> `attach` (P3) -> `confirm` (P6) -> `record` (P7), and `settle` wherever Stripe has to
be asked. `follow_up` is everybody but the payer: the app after a challenge or a restart, and
recovery.
"""
