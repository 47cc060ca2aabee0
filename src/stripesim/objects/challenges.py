"""The pending 3-D Secure challenge of a PaymentIntent or SetupIntent, and where its page lies.

Recorded: with `return_url` and without `use_stripe_sdk` the next action is `redirect_to_url`;
otherwise it is `use_stripe_sdk`, whose `stripe_js` is here the page's address.
"""

from typing import Any
from urllib.parse import urlencode

from stripesim.objects import payment_methods
from stripesim.objects.events import emit
from stripesim.rules import states
from stripesim.rules.cards import Authentication
from stripesim.world import Call

Json = dict[str, Any]
CHALLENGE_PATH = "/3d_secure_2/hosted"


def begin(call: Call, intent: Json, method: Json, params: Json, challenge_id: str) -> None:
    """The intent waits for its holder; the method is kept for this intent alone."""
    payment_methods.pass_checks(method)
    if method["_sim"]["state"] == "fresh":
        method["_sim"].update(state="parked", parked_by=intent["id"])
    call.save(method)
    address = _address(call, intent, challenge_id)
    return_url = params.get("return_url") or intent["_sim"]["return_url"]
    if return_url and not params.get("use_stripe_sdk"):
        intent["next_action"] = {
            "redirect_to_url": {"return_url": return_url, "url": address},
            "type": "redirect_to_url",
        }
    else:
        intent["next_action"] = {
            "type": "use_stripe_sdk",
            "use_stripe_sdk": {
                "source": challenge_id,
                "stripe_js": address,
                "type": "three_d_secure_redirect",
            },
        }
    states.move(intent, "authentication_asked")
    intent["_sim"]["challenge"] = {
        "id": challenge_id,
        "payment_method": method["id"],
        "return_url": return_url,
    }
    call.save(intent)
    emit(call, f"{intent['object']}.requires_action", intent)


def _address(call: Call, intent: Json, challenge_id: str) -> str:
    kind = intent["object"]
    query = urlencode(
        {
            kind: intent["id"],
            f"{kind}_client_secret": intent["client_secret"],
            "source": challenge_id,
        }
    )
    return f"{call.base_url}{CHALLENGE_PATH}?{query}"


def is_pending_with(intent: Json, method: Json) -> bool:
    """A repeat with the same method goes on with its challenge and begins no other."""
    challenge = intent["_sim"]["challenge"] or {}
    is_same = bool(challenge.get("payment_method") == method["id"])
    return is_same and intent["status"] == "requires_action"


def is_pending_with_another(call: Call, intent: Json, method: Json) -> bool:
    """Only when asked to be strict: nobody recorded whether Stripe takes another method then."""
    is_other = bool(intent["payment_method"] != method["id"])
    is_strict = call.world.config.strict_requires_action
    return is_strict and is_other and intent["status"] == "requires_action"


def asks_on_session(how: Authentication, *, is_wanted: bool) -> bool:
    """Whether a card asks while its holder is there; `is_wanted` is the merchant's request."""
    if how is Authentication.OPTIONAL:
        return is_wanted
    return how in (
        Authentication.ALWAYS,
        Authentication.UNLESS_SET_UP,
        Authentication.ON_SESSION,
    )


def lacks_return_url(call: Call, intent: Json, params: Json) -> bool:
    """Recorded: with redirect methods in the dashboard a confirm needs a return_url."""
    automatic = intent["automatic_payment_methods"]
    may_redirect = bool(automatic and automatic["allow_redirects"] == "always")
    return (
        call.world.config.dashboard_methods
        and may_redirect
        and not (params.get("return_url") or intent["_sim"]["return_url"])
        and not call.is_publishable
    )
