"""A shop that was there before paidonce: its own users, its own price list, its own checkout.

What is paidonce's: `build_router`, which brings the routes of the shipped app below
`/api/mobile-app`, and `payments.use_cases`, with which the shop's code makes an order. How the shop
hears that an order is paid stands in paid_events.py.
Run it as README.md beside this file says.
"""

import hashlib
import hmac
import os
import secrets
import sqlite3
import time
from contextlib import closing
from typing import Annotated
from uuid import UUID

import jwt
from fastapi import Depends, FastAPI, Header, HTTPException
from paid_events import build_event_router, make_event_tables
from pydantic import BaseModel, Field

from paidonce.domain.errors import ServiceError
from paidonce.domain.model import NewMerchantOrder
from paidonce.main import build_router
from paidonce.settings import load_settings

# The shop's own database, in which its users have been for years. Paidonce keeps its tables beside
# them (`DATABASE_URL` names the same file) and its customers in `users` (`USERS_TABLE=users`).
DATABASE = os.environ.get("SHOP_DATABASE", "shop.db")
TOKEN_SECONDS = 3600
PRICES_MINOR = {"tea": 1250, "pot": 4900}
CURRENCY = "usd"


def make_tables() -> None:
    with closing(sqlite3.connect(DATABASE)) as db, db:
        db.execute(
            "CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE,"
            " salt BLOB NOT NULL, password_hash BLOB NOT NULL)"
        )


make_tables()
settings = load_settings()
app = FastAPI(title="The shop")
payments = build_router(settings)
app.include_router(payments)
if event_secret := os.environ.get("SHOP_EVENT_SECRET"):
    make_event_tables(DATABASE)
    app.include_router(build_event_router(DATABASE, event_secret))


class Login(BaseModel):
    email: str = Field(max_length=320)
    password: str = Field(min_length=8, max_length=200)


class Basket(BaseModel):
    items: dict[str, Annotated[int, Field(ge=1, le=100)]] = Field(min_length=1)
    order_id: UUID  # made by the client, so that a repeated checkout is the same order


@app.post("/signup")
def sign_up(login: Login) -> dict[str, int]:
    salt = secrets.token_bytes(16)
    try:
        with closing(sqlite3.connect(DATABASE)) as db, db:
            made = db.execute(
                "INSERT INTO users (email, salt, password_hash) VALUES (?, ?, ?)",
                (login.email, salt, hash_password(login.password, salt)),
            )
            return {"userId": int(made.lastrowid or 0)}
    except sqlite3.IntegrityError:
        raise HTTPException(409, "There is an account with this address.") from None


@app.post("/login")
def log_in(login: Login) -> dict[str, str]:
    """A token that the shop and paidonce both understand: the same secret, the user in `sub`."""
    with closing(sqlite3.connect(DATABASE)) as db:
        row = db.execute(
            "SELECT id, salt, password_hash FROM users WHERE email = ?", (login.email,)
        ).fetchone()
    if row is None or not hmac.compare_digest(row[2], hash_password(login.password, row[1])):
        raise HTTPException(401, "Wrong address or password.")
    claims = {"sub": str(row[0]), "exp": int(time.time()) + TOKEN_SECONDS}
    return {"token": jwt.encode(claims, token_secret(), algorithm="HS256")}


def user_id(authorization: Annotated[str, Header()]) -> str:
    try:
        claims = jwt.decode(
            authorization.removeprefix("Bearer "),
            token_secret(),
            algorithms=["HS256"],
            options={"require": ["sub", "exp"]},
        )
    except jwt.InvalidTokenError:
        raise HTTPException(401, "Please sign in.") from None
    return str(claims["sub"])


@app.post("/checkout")
async def check_out(basket: Basket, user: Annotated[str, Depends(user_id)]) -> dict[str, str | int]:
    """The shop says what it costs. The app then pays `/api/mobile-app/orders/{orderId}/pay`."""
    unknown = basket.items.keys() - PRICES_MINOR.keys()
    if unknown:
        raise HTTPException(422, f"Not sold here: {', '.join(sorted(unknown))}")
    amount = sum(PRICES_MINOR[name] * quantity for name, quantity in basket.items.items())
    wanted = NewMerchantOrder(
        user_id=user,
        email=None,
        order_id=str(basket.order_id),
        amount_minor=amount,
        currency=CURRENCY,
    )
    try:
        order = await payments.use_cases.create_merchant_order(wanted)
    except ServiceError as error:
        raise HTTPException(error.http_status, error.message) from error
    return {"orderId": order.id, "amountMinor": order.amount_minor, "currency": order.currency}


def token_secret() -> str:
    return settings.auth_jwt_secret.get_secret_value()


def hash_password(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1)
