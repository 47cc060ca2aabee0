"""`paidonce notices …`: arguments and printing only."""

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from paidonce.cli import notices_view
from paidonce.cli.database import on_database
from paidonce.cli.exits import INCOMPLETE, fail, one_of
from paidonce.domain.outgoing import DeliveryState, EventFilter
from paidonce.endpoints import new_secret
from paidonce.outgoing.desk import Desk

Result = TypeVar("Result")
notices_app = typer.Typer(
    help="Outgoing events: what the merchant's endpoints are told.", no_args_is_help=True
)
Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON.")]
EventId = Annotated[str, typer.Argument(metavar="ID", help="The event's id.")]
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The endpoint's name in EVENT_ENDPOINTS.")
]


@notices_app.command("list")
def list_notices(
    state: Annotated[
        DeliveryState | None, typer.Option(**one_of(DeliveryState), help="Only those of one state.")
    ] = None,
    order: Annotated[str | None, typer.Option(help="Only those of this order.")] = None,
    limit: Annotated[int, typer.Option(help="How many, at most.", min=1, max=1000)] = 50,
    json_line: Json = False,
) -> None:
    """The latest events and whom they were told, and how the endpoints stand."""
    wanted = EventFilter(state=state, order_id=order.lower() if order else None)

    async def work(desk: Desk) -> str:
        show = notices_view.list_as_json if json_line else notices_view.list_as_text
        return show(await desk.list_latest(wanted, limit), await desk.look())

    print(_use_outbox(work))  # noqa: T201


@notices_app.command()
def show(event_id: EventId, json_line: Json = False) -> None:
    """An event as it is sent, and whom it was told."""
    event = _use_outbox(lambda desk: desk.get(event_id))
    if event is None:
        fail(f"there is no event {event_id}.", INCOMPLETE)
    print((notices_view.event_as_json if json_line else notices_view.event_as_text)(event))  # noqa: T201


@notices_app.command()
def resend(
    event_id: Annotated[str | None, typer.Argument(metavar="ID", help="The event's id.")] = None,
    all_dead: Annotated[
        bool, typer.Option("--all-dead", help="Every event that was given up.")
    ] = False,
) -> None:
    """On its way again, with all its tries: a worker sends it within a second."""
    if (event_id is None) is not all_dead:
        fail("say the id of an event, or --all-dead.")
    if event_id is None:
        count = _use_outbox(lambda desk: desk.resend_all_dead())
        print(f"{count} on their way again.")  # noqa: T201
        return
    count = _use_outbox(lambda desk: desk.resend(event_id))
    if count == 0:
        fail(f"there is no event {event_id}, or no endpoint to send it to.", INCOMPLETE)
    print(f"{event_id} is on its way again, to {count}.")  # noqa: T201


@notices_app.command()
def enable(name: Name) -> None:
    """An endpoint that answered 410 Gone is told again, at once what has waited for it."""
    if not _use_outbox(lambda desk: desk.enable(name)):
        fail(f"no endpoint {name} was ever seen.", INCOMPLETE)
    print(f"{name} is told again.")  # noqa: T201


@notices_app.command()
def retire(name: Name) -> None:
    """An endpoint that has left the settings for good: what waits for it is dropped."""
    count = _use_outbox(lambda desk: desk.retire(name))
    if count is None:
        fail(f"no endpoint {name} was ever seen.", INCOMPLETE)
    print(f"{name} is gone; {count} events were not told to it.")  # noqa: T201


@notices_app.command()
def secret() -> None:
    """A new signing secret, for EVENT_SECRETS and for the endpoint."""
    print(new_secret())  # noqa: T201


def _use_outbox(work: Callable[[Desk], Awaitable[Result]]) -> Result:
    return on_database(lambda db, clock: work(Desk(db, clock)))
