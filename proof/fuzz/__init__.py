"""Bad input of every kind at `paidonce serve`: requests from its own OpenAPI, by schemathesis with
stories that follow its links, by our own generator, and bytes that are no HTTP. Every answer has to
be the envelope, described, no 500, and hold no secret of ours; afterwards the ledger of charges,
the log and the database are gone through."""
