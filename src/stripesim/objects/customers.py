"""Customers: create, retrieve, update, delete, list, and their payment methods.

Recorded: a deleted customer still answers 200 with `deleted: true` and only three keys, is gone
from lists, and deleting it again is 404. Emails are not unique. Code, param and message of a bad
one were pasted from real answers (masslight/ottehr#7319, fjordllc/bootcamp#4134).
"""

import copy
import re
from typing import Any

from stripesim import guesses
from stripesim.objects import addresses, payment_methods, sources
from stripesim.objects.events import emit, emit_update
from stripesim.objects.listing import list_page
from stripesim.objects.metadata import merged, unset
from stripesim.wire.errors import StripeError, invalid_request, missing_in_body, missing_on_path
from stripesim.world import Call

Json = dict[str, Any]
EMAIL = re.compile(guesses.EMAIL_PATTERN)
PLAIN = ("description", "email", "name", "phone", "tax_exempt")


def create(call: Call, params: Json) -> Json:
    customer: Json = {
        "id": call.world.ids.short("cus"),
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": call.now,
        "currency": None,
        "customer_account": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": call.world.ids.upper(8),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
        "_sim": {"sources": []},
    }
    _apply(call, customer, {k: v for k, v in params.items() if k != "invoice_settings"})
    call.add(customer)
    _apply_methods(call, customer, params)
    call.save(customer)
    emit(call, "customer.created", customer)
    call.world.ledger.append("customer", call.now, customer=customer["id"])
    return customer


def update(call: Call, params: Json, customer_id: str) -> Json:
    customer = _load_live(call, customer_id)
    before = copy.deepcopy(customer)
    _apply(call, customer, params)
    _apply_methods(call, customer, params)
    call.save(customer)
    emit_update(call, "customer.updated", before, customer)
    return customer


def _apply(call: Call, customer: Json, params: Json) -> None:
    del call
    if params.get("email") and not EMAIL.fullmatch(params["email"]):
        raise invalid_request(
            f"Invalid email address: {params['email']}", code="email_invalid", param="email"
        )
    for name in PLAIN:
        if name in params:
            customer[name] = unset(params[name])
    if "address" in params:
        customer["address"] = addresses.address(params["address"], customer["address"])
    if "shipping" in params:
        customer["shipping"] = addresses.recipient(params["shipping"], customer["shipping"])
    for name in ("balance", "invoice_prefix", "next_invoice_sequence", "preferred_locales"):
        if name in params:
            customer[name] = params[name]
    if params.get("tax_exempt") == "":
        customer["tax_exempt"] = "none"
    if "metadata" in params:
        customer["metadata"] = merged(customer["metadata"], params["metadata"])
    for name in ("custom_fields", "footer", "rendering_options"):
        settings = params.get("invoice_settings") or {}
        if name in settings:
            customer["invoice_settings"][name] = unset(settings[name])


def _apply_methods(call: Call, customer: Json, params: Json) -> None:
    """`payment_method` and `source` attach; the default must belong to the customer."""
    attached_id = None
    if params.get("payment_method"):
        attached_id = payment_methods.attach_to(call, params["payment_method"], customer)["id"]
    if params.get("source") or params.get("card"):
        sources.replace_default(call, customer, params.get("source") or params["card"])
    if params.get("default_source"):
        if sources.find(customer, params["default_source"]) is None:
            raise missing_in_body("source", params["default_source"], "default_source")
        customer["default_source"] = params["default_source"]
    settings = params.get("invoice_settings") or {}
    if "default_payment_method" in settings:
        wanted = settings["default_payment_method"]
        if wanted and wanted == params.get("payment_method"):
            wanted = attached_id  # `pm_card_visa` names the method that it became
        customer["invoice_settings"]["default_payment_method"] = _own_method(call, customer, wanted)


def _own_method(call: Call, customer: Json, method_id: str) -> str | None:
    if not method_id:
        return None
    param = "invoice_settings[default_payment_method]"
    method = call.world.objects.get("payment_method", method_id)
    if method is None or method["customer"] != customer["id"]:
        raise missing_in_body("PaymentMethod", method_id, param)
    return method_id


def retrieve(call: Call, params: Json, customer_id: str) -> Json:
    del params
    return call.load("customer", customer_id, noun="customer", param="id")


def delete(call: Call, params: Json, customer_id: str) -> Json:
    del params
    customer = _load_live(call, customer_id)
    emit(call, "customer.deleted", customer)
    tombstone = {"id": customer_id, "object": "customer", "deleted": True}
    call.save(tombstone)
    call.world.objects.unlist(customer_id)
    return tombstone


def list_customers(call: Call, params: Json) -> Json:
    filters = {"email": params["email"]} if params.get("email") else {}
    return list_page(call, "customer", "/v1/customers", params, filters)


def list_payment_methods(call: Call, params: Json, customer_id: str) -> Json:
    _load_live(call, customer_id)
    url = f"/v1/customers/{customer_id}/payment_methods"
    return payment_methods.page_of_customer(call, params, customer_id, url)


def retrieve_payment_method(call: Call, params: Json, customer_id: str, method_id: str) -> Json:
    """Recorded: a method that is not this customer's is 404 with few words and no code."""
    del params
    _load_live(call, customer_id)
    method = call.load("payment_method", method_id, noun="PaymentMethod", param="payment_method")
    if method["customer"] != customer_id:
        raise StripeError(404, "Invalid request", param="customer")
    return method


def _load_live(call: Call, customer_id: str) -> Json:
    customer = call.load("customer", customer_id, noun="customer", param="id")
    if customer.get("deleted"):
        raise missing_on_path("customer", customer_id, "id")
    return customer
