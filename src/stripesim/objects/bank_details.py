"""What Stripe shows of a payment method that is no card, beside what it was given.

Recorded (pay-rails/pay, 2023-08-16 to 2025-10-29; liberapay, 2019-08-14): every key below, and the
bank code of a Danish and a German account; the other lengths are those of the IBAN registry.
"""

from typing import Any

from stripesim.ids import fingerprint

Json = dict[str, Any]
BANK_CODE_DIGITS = {"DE": 8, "AT": 5, "CH": 5, "FR": 5, "LI": 5, "BE": 3, "FI": 3, "LU": 3, "SE": 3}
BANKS_BIC = {  # SDK
    "abn_amro": "ABNANL2A", "asn_bank": "ASNBNL21", "bunq": "BUNQNL2A", "ing": "INGBNL2A",
    "handelsbanken": "HANDNL2A", "knab": "KNABNL2H", "moneyou": "MOYONL21", "n26": "NTSBDEB1",
    "rabobank": "RABONL2U", "regiobank": "RBRBNL21", "revolut": "REVOLT21", "yoursafe": "BITSNL2A",
    "sns_bank": "SNSBNL2A", "triodos_bank": "TRIONL2U", "van_lanschot": "FVLBNL22",
}  # fmt: skip


def shown(kind: str, given: Json) -> Json:
    """The details of a method of that type; an account's number as its last four digits."""
    details = dict(given)
    number = str(details.pop("account_number", None) or details.pop("iban", None) or "")
    if number:
        details["last4"] = number[-4:]
    if kind == "acss_debit":
        details.update(bank_name="STRIPE TEST BANK", fingerprint=fingerprint(number))
    elif kind == "sepa_debit":
        details.update(_of_iban(number))
    elif kind == "boleto":
        details["fingerprint"] = fingerprint(str(details.get("tax_id")))
    elif kind == "fpx":
        details.setdefault("account_holder_type", "individual")
    elif kind == "ideal":
        details = {"bank": None, **details}
        details["bic"] = BANKS_BIC.get(str(details["bank"]))
    return details


def _of_iban(iban: str) -> Json:
    country = iban[:2].upper()
    return {
        "bank_code": iban[4 : 4 + BANK_CODE_DIGITS.get(country, 4)],
        "branch_code": "",
        "country": country,
        "fingerprint": fingerprint(iban),
        "generated_from": {"charge": None, "setup_attempt": None},
    }
