"""The API's addresses: which call answers "METHOD /path"."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from stripesim.objects import (
    account,
    authentication,
    balance,
    balance_transactions,
    charges,
    confirmation_tokens,
    customer_sessions,
    customers,
    direct_charges,
    disputes,
    early_fraud_warnings,
    ephemeral_keys,
    events,
    mandates,
    payment_methods,
    refunds,
    search,
    setup_attempts,
    sources,
    tokens,
    webhook_endpoints,
)
from stripesim.objects.listing import list_page
from stripesim.objects.payment_intents import amounts, lifecycle
from stripesim.objects.setup_intents import lifecycle as setup_intents
from stripesim.world import Call

Json = dict[str, Any]
Handler = Callable[..., Json]
ID = "{id}"


@dataclass(frozen=True)
class Route:
    """`name` is the endpoint as the parameter tables know it."""

    name: str
    handler: Handler
    allows_publishable: bool


def _no_invoices(call: Call, params: Json) -> Json:
    """The simulator has no invoices, so no payment belongs to one."""
    page = {"limit": params.get("limit") or 10}
    return list_page(call, "invoice_payment", "/v1/invoice_payments", page)


SECRET_ONLY: dict[str, Handler] = {
    "POST /v1/customers": customers.create,
    "GET /v1/customers": customers.list_customers,
    "GET /v1/customers/search": search.customers,
    "GET /v1/customers/{id}": customers.retrieve,
    "POST /v1/customers/{id}": customers.update,
    "DELETE /v1/customers/{id}": customers.delete,
    "GET /v1/customers/{id}/payment_methods": customers.list_payment_methods,
    "GET /v1/customers/{id}/payment_methods/{id}": customers.retrieve_payment_method,
    "GET /v1/customers/{id}/sources": sources.list_sources,
    "POST /v1/customers/{id}/sources": sources.create,
    "GET /v1/customers/{id}/sources/{id}": sources.retrieve,
    "POST /v1/customers/{id}/sources/{id}": sources.update,
    "DELETE /v1/customers/{id}/sources/{id}": sources.delete,
    "POST /v1/customers/{id}/cards": sources.create,
    "GET /v1/customers/{id}/cards/{id}": sources.retrieve,
    "POST /v1/customers/{id}/cards/{id}": sources.update,
    "DELETE /v1/customers/{id}/cards/{id}": sources.delete,
    "GET /v1/payment_methods": payment_methods.list_methods,
    "GET /v1/payment_methods/{id}": payment_methods.retrieve,
    "POST /v1/payment_methods/{id}": payment_methods.update,
    "POST /v1/payment_methods/{id}/attach": payment_methods.attach,
    "POST /v1/payment_methods/{id}/detach": payment_methods.detach,
    "POST /v1/payment_intents": lifecycle.create,
    "GET /v1/payment_intents": lifecycle.list_intents,
    "GET /v1/payment_intents/search": search.payment_intents,
    "POST /v1/payment_intents/{id}": lifecycle.update,
    "POST /v1/payment_intents/{id}/capture": amounts.capture,
    "POST /v1/payment_intents/{id}/cancel": lifecycle.cancel,
    "POST /v1/payment_intents/{id}/increment_authorization": amounts.increment_authorization,
    "POST /v1/payment_intents/{id}/apply_customer_balance": amounts.apply_customer_balance,
    "POST /v1/setup_intents": setup_intents.create,
    "GET /v1/setup_intents": setup_intents.list_intents,
    "POST /v1/setup_intents/{id}": setup_intents.update,
    "POST /v1/setup_intents/{id}/cancel": setup_intents.cancel,
    "GET /v1/setup_attempts": setup_attempts.list_attempts,
    "GET /v1/mandates/{id}": mandates.retrieve,
    "POST /v1/charges": direct_charges.create,
    "GET /v1/charges": charges.list_charges,
    "GET /v1/charges/search": search.charges,
    "GET /v1/charges/{id}": charges.retrieve,
    "POST /v1/charges/{id}": charges.update,
    "POST /v1/charges/{id}/capture": direct_charges.capture,
    "POST /v1/charges/{id}/refund": refunds.refund_charge,
    "POST /v1/charges/{id}/refunds": refunds.create_for_charge,
    "GET /v1/charges/{id}/refunds": charges.list_refunds,
    "GET /v1/charges/{id}/refunds/{id}": refunds.retrieve_of_charge,
    "POST /v1/charges/{id}/refunds/{id}": refunds.update_of_charge,
    "GET /v1/charges/{id}/dispute": disputes.retrieve_of_charge,
    "POST /v1/charges/{id}/dispute": disputes.update_of_charge,
    "POST /v1/charges/{id}/dispute/close": disputes.close_of_charge,
    "POST /v1/refunds": refunds.create,
    "GET /v1/refunds": refunds.list_refunds,
    "GET /v1/refunds/{id}": refunds.retrieve,
    "POST /v1/refunds/{id}": refunds.update,
    "POST /v1/refunds/{id}/cancel": refunds.cancel,
    "POST /v1/test_helpers/refunds/{id}/expire": refunds.expire,
    "GET /v1/balance": balance.retrieve,
    "GET /v1/balance_transactions": balance_transactions.list_transactions,
    "GET /v1/balance_transactions/{id}": balance_transactions.retrieve,
    "GET /v1/radar/early_fraud_warnings": early_fraud_warnings.list_warnings,
    "GET /v1/radar/early_fraud_warnings/{id}": early_fraud_warnings.retrieve,
    "GET /v1/disputes": disputes.list_disputes,
    "GET /v1/disputes/{id}": disputes.retrieve,
    "POST /v1/disputes/{id}": disputes.update,
    "POST /v1/disputes/{id}/close": disputes.close,
    "GET /v1/tokens/{id}": tokens.retrieve,
    "GET /v1/confirmation_tokens/{id}": confirmation_tokens.retrieve,
    "POST /v1/test_helpers/confirmation_tokens": confirmation_tokens.create_for_test,
    "POST /v1/customer_sessions": customer_sessions.create,
    "POST /v1/ephemeral_keys": ephemeral_keys.create,
    "DELETE /v1/ephemeral_keys/{id}": ephemeral_keys.delete,
    "GET /v1/events": events.list_events,
    "GET /v1/events/{id}": events.retrieve,
    "POST /v1/webhook_endpoints": webhook_endpoints.create,
    "GET /v1/webhook_endpoints": webhook_endpoints.list_endpoints,
    "GET /v1/webhook_endpoints/{id}": webhook_endpoints.retrieve,
    "POST /v1/webhook_endpoints/{id}": webhook_endpoints.update,
    "DELETE /v1/webhook_endpoints/{id}": webhook_endpoints.delete,
    "GET /v1/account": account.retrieve,
    "GET /v1/invoice_payments": _no_invoices,
}
# What Stripe's mobile and browser libraries call with the publishable key.
PUBLISHABLE_TOO: dict[str, Handler] = {
    "POST /v1/payment_methods": payment_methods.create,
    "POST /v1/tokens": tokens.create,
    "POST /v1/confirmation_tokens": confirmation_tokens.create,
    "GET /v1/payment_intents/{id}": lifecycle.retrieve,
    "POST /v1/payment_intents/{id}/confirm": lifecycle.confirm,
    "POST /v1/payment_intents/{id}/refresh": lifecycle.retrieve,
    "POST /v1/payment_intents/{id}/source_cancel": authentication.give_up_payment,
    "POST /v1/payment_intents/{id}/verify_microdeposits": lifecycle.verify_microdeposits,
    "GET /v1/setup_intents/{id}": setup_intents.retrieve,
    "POST /v1/setup_intents/{id}/confirm": setup_intents.confirm,
    "POST /v1/setup_intents/{id}/refresh": setup_intents.retrieve,
    "POST /v1/setup_intents/{id}/source_cancel": authentication.give_up_setup,
    "POST /v1/setup_intents/{id}/verify_microdeposits": setup_intents.verify_microdeposits,
}


class Router:
    """Finds the route of a path; ids stand where the table says {id}."""

    def __init__(self) -> None:
        self._tree: Json = {}
        for table, allows_publishable in ((SECRET_ONLY, False), (PUBLISHABLE_TOO, True)):
            for name, handler in table.items():
                method, _, path = name.partition(" ")
                node = self._tree
                for step in path.strip("/").split("/"):
                    node = node.setdefault(step, {})
                node[method] = Route(name, handler, allows_publishable)

    def routes(self) -> Iterator[Route]:
        """Every route of the tables."""
        nodes = [self._tree]
        while nodes:
            for value in nodes.pop().values():
                if isinstance(value, Route):
                    yield value
                else:
                    nodes.append(value)

    def find(self, method: str, path: str) -> tuple[Route, list[str]] | None:
        """The route and the ids in the path, or None for an unrecognized URL.

        Recorded (antiwork/gumroad, 2023-10-16): a plus in an id is read as a blank.
        """
        if path.endswith("/"):
            return None
        node, ids = self._tree, []
        for step in path.strip("/").split("/"):
            if step in node and not step.isupper():
                node = node[step]
            elif ID in node:
                node = node[ID]
                ids.append(step.replace("+", " "))
            else:
                return None
        route = node.get(method)
        return (route, ids) if isinstance(route, Route) else None
