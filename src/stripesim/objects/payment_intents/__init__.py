"""PaymentIntents.

The states and what moves them: `rules.states`.

lifecycle.py  create, retrieve, update, list
confirm.py    which method, may it pay, does it have to authenticate
amounts.py    capture, in part or as a whole; a larger hold
settle.py     the charge, its capture, its cancellation
authenticated.py  what follows a passed or failed challenge
connect.py    parameters of other accounts, which are refused
refusals.py   the exact words of every refusal
"""
