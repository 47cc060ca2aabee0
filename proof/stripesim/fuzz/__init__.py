"""Bad input: whatever is sent, the simulator answers as Stripe would, and its books add up.

forms.py    parameters of every endpoint, valid, nearly valid and garbage
stories.py  what is sent: requests, raw bytes, the passing of time
play.py     sends a story, judges every answer, and the books at its end
answers.py  what an answer has to look like
"""
