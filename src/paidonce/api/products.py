"""The merchant's routes of the price list."""

from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import Response

from paidonce.api import openapi, views
from paidonce.api.auth import Authentication
from paidonce.api.bodies import read_json_object
from paidonce.api.envelope import respond, success
from paidonce.api.schemas import merchant_page_of, parse_products, product_id_of
from paidonce.api.usecases import UseCases


class ProductRoutes:
    """What the app's orders are priced by."""

    def __init__(self, use_cases: UseCases, authentication: Authentication) -> None:
        self._use_cases = use_cases
        self._authentication = authentication

    def add_to(self, app: FastAPI | APIRouter) -> None:
        path, one = "/api/products", "/api/products/{productId:path}"  # an id may hold a slash
        openapi.add(app, "PUT", path, self.put_products, openapi.PRODUCTS)
        openapi.add(app, "GET", path, self.list_products, is_list=True)
        openapi.add(app, "DELETE", one, self.delete_product)

    async def put_products(self, request: Request) -> Response:
        """Add products to the price list, or replace them."""
        self._authentication.merchant(request)
        _, body = read_json_object(request)
        products = parse_products(body)
        await self._use_cases.put_products(products)
        data = {"products": len(products)}
        return respond(request, success("Products saved successfully", data))

    async def list_products(self, request: Request) -> Response:
        """The price list, by the products' ids."""
        self._authentication.merchant(request)
        page = await self._use_cases.list_products(*merchant_page_of(request))
        data = [views.product(product) for product in page.items]
        message = "Products retrieved successfully"
        return respond(request, success(message, data, nextCursor=page.next_cursor))

    async def delete_product(self, request: Request) -> Response:
        """Take a product out of the price list. Orders that were made keep it and its price."""
        self._authentication.merchant(request)
        product_id = product_id_of(request)
        await self._use_cases.delete_product(product_id)
        data = {"productId": product_id}
        return respond(request, success("Product deleted successfully", data))
