"""The price list, which the merchant keeps. Orders that were made keep their prices."""

from paidonce.domain import errors, money
from paidonce.domain.model import Page, Product
from paidonce.payments.context import Context
from paidonce.payments.cursors import decode_product_cursor, encode_product_cursor
from paidonce.store import orders
from paidonce.store.engine import Transaction


async def put_products(ctx: Context, products: list[Product]) -> None:
    """Add or replace lines of the price list. Orders made before keep their prices. Raises the
    refusal of a price that nobody could ever pay, with the product's place and id."""
    for place, product in enumerate(products):
        try:
            money.check_price(product.amount_minor, product.currency)
        except errors.Refused as refusal:
            where = f"products[{place}].amountMinor ({product.product_id})"
            refusal.details = [f"{where}: {detail}" for detail in refusal.details]
            raise

    async def work(tx: Transaction) -> None:
        for product in sorted(products, key=lambda item: item.product_id):
            await orders.put_product(tx, product, ctx.clock.now())

    await ctx.db.transaction("products", work)


async def list_products(ctx: Context, limit: int, cursor: str | None) -> Page[Product]:
    """By their ids."""
    after = decode_product_cursor(cursor)
    found = await ctx.db.read(lambda tx: orders.list_products(tx, limit + 1, after))
    page = found[:limit]
    has_more = len(found) > limit
    return Page(page, encode_product_cursor(page[-1].product_id) if has_more else None)


async def delete_product(ctx: Context, product_id: str) -> None:
    """Nobody can order it any more. Raises product_not_listed."""
    if not await ctx.db.transaction("products", lambda tx: orders.delete_product(tx, product_id)):
        raise errors.product_not_listed()
