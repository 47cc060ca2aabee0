"""An order's money, on its way in.

Follow one pay request: `pay` -> `claim` (T1) -> `customers` (P1, P2, beside this room) -> `attach`
(P3) -> `prepare` (P4, P5) -> `confirm` (P6) -> `record` (P7), and `settle` wherever Stripe has to
be asked. `answers` is what a closed attempt says, `other_card` a payer's change of mind,
`reconfirm` the second confirm of the method `manual`.

`follow_up` is everybody but the payer: the app after a challenge or a restart, and recovery.
`sheet` and `client_confirms` are for an app that confirms by itself; `holds`, `capture` and
`capture_record` for money that is held first; `adopt` and `strays` for intents that no row holds.
"""
