"""Answers that cannot be answers to what was asked."""

from collections.abc import Mapping
from typing import TypeVar

from paidonce.domain.intent import Customer, Failure, Intent, Method, Reason
from paidonce.observability import get_logger
from paidonce.observability.metrics import record_contradiction

Named = TypeVar("Named", Intent, Method, Customer)
log = get_logger(__name__)


def about(wanted_id: str, answer: Named | Failure) -> Named | Failure:
    """The answer, unless it is about another object than the one that was asked about: a refusal
    whose body carries another intent says nothing of ours either."""
    told_id = answer.intent_id if isinstance(answer, Failure) else answer.id
    if told_id in (None, wanted_id):
        return answer
    return contradiction(wanted_id.partition("_")[0], "id")


def id_of_customer(metadata: Mapping[str, str], answer: Customer | Failure) -> str | Failure:
    """The id of a customer that was made with this metadata; one that says that it is somebody
    else's is not ours."""
    if isinstance(answer, Failure):
        return answer
    if metadata.items() <= answer.metadata.items():
        return answer.id
    return contradiction("customer", "metadata")


def contradiction(kind: str, name: str) -> Failure:
    """An answer that cannot be one to what was asked: alarmed, counted, and nothing is known."""
    log.critical("stripe.contradicted", object=kind, fields=[name])
    record_contradiction(kind)
    return Failure(Reason.CONTRADICTED, "the answer is about something else", param=name)
