"""Ids in Stripe's shapes: `pi_3…`, `ch_3…` and `txn_3…` of one payment share their first part."""

import hashlib
import random
import string

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
ACCOUNT_PART = "SimOneAcct"  # the ten characters that every id of one account carries
ACCOUNT_ID = f"acct_1Paid1{ACCOUNT_PART}"
STEM_LENGTH = 16  # "3" + five characters of time + the account's ten


class Ids:
    """Makes ids; with a seed the same sequence every time, whatever the time is."""

    def __init__(self, seed: str | None = None) -> None:
        self._is_seeded = seed is not None
        self._random = random.Random(seed)  # noqa: S311

    def text(self, length: int) -> str:
        return "".join(self._random.choices(ALPHABET, k=length))

    def upper(self, length: int) -> str:
        return "".join(self._random.choices(string.digits + string.ascii_uppercase, k=length))

    def number(self, low: int, high: int) -> int:
        return self._random.randint(low, high)

    def short(self, prefix: str) -> str:
        """`cus_`, `req_` and `tok_`-like ids without a time part."""
        return f"{prefix}_{self.text(14)}"

    def timed(self, prefix: str, now: int) -> str:
        """`pm_1…`, `seti_1…`: an object of its own."""
        return f"{prefix}_1{self._time_part(now)}{ACCOUNT_PART}{self.text(8)}"

    def payment(self, prefix: str, now: int) -> str:
        """`pi_3…`: the first object of a payment."""
        return self.of_payment(prefix, f"{prefix}_3{self._time_part(now)}{ACCOUNT_PART}")

    def of_payment(self, prefix: str, payment_id: str) -> str:
        """`ch_3…`, `txn_3…`, `re_3…`, `evt_3…`: shares the payment's first part."""
        stem = payment_id.partition("_")[2][:STEM_LENGTH]
        return f"{prefix}_{stem}{self._random.choice('012')}{self.text(7)}"

    def _time_part(self, now: int) -> str:
        if self._is_seeded:
            return self.text(5)
        out = ""
        for _ in range(5):
            now, digit = divmod(now, len(ALPHABET))
            out = ALPHABET[digit] + out
        return out


def fingerprint(card_number: str) -> str:
    """The same card number always has the same fingerprint; the number cannot be read back."""
    digest = hashlib.sha256(f"stripesim card {card_number}".encode()).digest()
    return "".join(ALPHABET[byte % len(ALPHABET)] for byte in digest[:16])


def network_number(card_fingerprint: str) -> str:
    """`network_transaction_id`, 15 digits. Recorded (stripe_world, 2026-08): the same for every
    charge of a card, declined or not.
    """
    digest = hashlib.sha256(f"stripesim network {card_fingerprint}".encode()).digest()
    return str(10**14 + int.from_bytes(digest[:8], "big") % (9 * 10**14))
