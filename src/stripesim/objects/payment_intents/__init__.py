"""PaymentIntents.

requires_payment_method -> requires_confirmation -> (requires_action)
    -> requires_capture | succeeded
any of them but succeeded -> canceled
a decline or a failed authentication -> requires_payment_method

lifecycle.py  create, retrieve, update, list
confirm.py    which method, may it pay, does it have to authenticate
settle.py     the charge, its capture, its cancellation
authenticate.py  what the challenge page's buttons do
refusals.py   the exact words of every refusal
"""
