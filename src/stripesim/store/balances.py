"""What the balance transactions add up to, so that nobody has to read all of them."""

from stripesim.store.database import Database


class Balances:
    """Sums of net amounts by currency and by the time they become available."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def move(self, currency: str, available_on: int, net: int) -> None:
        """Add `net` (minor units, negative for money out); `available_on` 0 is "at once"."""
        self._db.execute(
            "INSERT INTO balances (currency, available_on, net) VALUES (?, ?, ?)"
            " ON CONFLICT (currency, available_on) DO UPDATE SET net = net + excluded.net",
            currency,
            available_on,
            net,
        )

    def sums(self, now: int) -> dict[str, tuple[int, int]]:
        """(available, pending) by currency."""
        rows = self._db.rows(
            "SELECT currency, sum(iif(available_on <= ?, net, 0)), sum(iif(available_on > ?, net, 0"
            ")) FROM balances GROUP BY currency ORDER BY currency",
            now,
            now,
        )
        return {currency: (available, pending) for currency, available, pending in rows}
