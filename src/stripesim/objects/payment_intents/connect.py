"""Parameters of Connect, which the one account cannot use: they are refused, not passed over."""

from typing import Any

from stripesim.wire.errors import invalid_request, missing_in_body

Json = dict[str, Any]
# Pasted from real answers in many places.
NO_APPLICATION_FEE = (
    "Can only apply an application_fee_amount when the PaymentIntent is attempting a direct payment"
    " (using an OAuth key or Stripe-Account header) or destination payment (using "
    "`transfer_data[destination]`)."
)


def refuse(params: Json) -> None:
    """Raises StripeError 400 for a destination, another account or an application fee."""
    destination = (params.get("transfer_data") or {}).get("destination")
    if destination:
        raise missing_in_body("destination", destination, "transfer_data[destination]")
    older = params.get("destination")  # a direct charge's
    if older:
        if isinstance(older, dict) and "account" not in older:
            message = "Missing required param: destination[account]."
            raise invalid_request(message, code="parameter_missing", param="destination[account]")
        account = older["account"] if isinstance(older, dict) else older
        raise missing_in_body("account", account, "destination")
    if params.get("on_behalf_of"):
        raise missing_in_body("account", params["on_behalf_of"], "on_behalf_of")
    for name in ("application_fee_amount", "application_fee"):
        if params.get(name):
            raise invalid_request(NO_APPLICATION_FEE, param=name)
