"""PaymentIntents.

The states and what moves them: `rules.states`.

lifecycle.py  create, retrieve, update, list
confirm.py    which method, may it pay, does it have to authenticate
settle.py     the charge, its capture, its cancellation
authenticate.py  what the challenge page's buttons do
refusals.py   the exact words of every refusal
"""
