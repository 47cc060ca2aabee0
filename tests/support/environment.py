"""The environment in which tests, proofs and benchmarks start a service of their own."""

from stripesim.testing import PUBLISHABLE_KEY, SECRET_KEY

JWT_SECRET = "a-secret-of-the-tests-with-32-bytes"
MERCHANT_API_KEY = "merchant-key-of-the-tests"
WEBHOOK_SECRET = "whsec_of_the_tests"


def environment(database_url: str, stripe_url: str, **changes: str) -> dict[str, str]:
    """Every setting of a service that talks to the simulator."""
    return {
        "DATABASE_URL": database_url,
        "STRIPE_API_BASE": stripe_url,
        "STRIPE_SECRET_KEY": SECRET_KEY,
        "STRIPE_PUBLISHABLE_KEY": PUBLISHABLE_KEY,
        "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "PAYMENT_RETURN_URL": "shop://return",
        "AUTH_JWT_SECRET": JWT_SECRET,
        "MERCHANT_API_KEY": MERCHANT_API_KEY,
        "SAME_ORDER_WITHIN_SECONDS": "0",
        **changes,
    }
