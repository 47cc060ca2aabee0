"""One scenario suite for the simulator and for Stripe's own test mode, through the official SDKs.

scenarios/*.json   what is called, with which parameters, and what has to come back: data, no code
scenarios.py       reads them
drive_python.py    plays them with the `stripe` package
node/drive.mjs     plays the same files with the package of that name for Node
transcript.py      makes transcripts comparable, and checks them against what the files expect
compare.py         two transcripts, and the table of their differences
"""
