"""SetupIntents: save a card without paying. The states and what moves them: `rules.states`.

lifecycle.py  create, retrieve, update, cancel, list
confirm.py    which method, does it have to authenticate, and the attempt; what the buttons do
refusals.py   the exact words of every refusal
"""
