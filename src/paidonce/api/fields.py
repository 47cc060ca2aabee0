"""Reading one JSON object field by field, with refusals that name the field."""

import re
from datetime import UTC, datetime
from typing import Any

from paidonce.domain import errors

LONGEST_TIME = 40
PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,29}", re.ASCII)
"""What a refusal may say of a name that a client sent."""
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)", re.ASCII)


def time_of(name: str, text: str) -> datetime:
    """A time in ISO 8601 with its offset from UTC, `Z` for none."""
    try:
        if len(text) <= LONGEST_TIME and _DATE_TIME.fullmatch(text):
            return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise errors.invalid_request(f"{name} must be a time such as 2026-11-27T09:30:00Z.")


class Fields:
    """`where` stands before the field's name in a refusal: `items[0].`. null means absent."""

    def __init__(self, value: dict[str, Any], where: str = "") -> None:
        self._value = value
        self.where = where

    def text(self, name: str, longest: int, *, is_empty_absent: bool = False) -> str | None:
        """One line of printable text, or None when absent."""
        text = self._value.get(name)
        if text is None or (is_empty_absent and text == ""):
            return None
        if not isinstance(text, str) or not 1 <= len(text) <= longest or not text.isprintable():
            raise errors.invalid_request(
                f"{self.where}{name} must be a string of 1 to {longest} printable characters."
            )
        return text

    def required_text(self, name: str, longest: int) -> str:
        text = self.text(name, longest)
        if text is None:
            raise errors.invalid_request(f"{self.where}{name} is required.")
        return text

    def free_text(self, name: str, longest: int) -> str | None:
        """Text of any number of lines, or None when absent."""
        text = self._value.get(name)
        if text is not None and (not isinstance(text, str) or len(text) > longest):
            raise errors.invalid_request(
                f"{self.where}{name} must be a string of at most {longest} characters."
            )
        return text

    def integer(self, name: str, least: int, most: int) -> int:
        number = self._value.get(name)
        if number is None:
            raise errors.invalid_request(f"{self.where}{name} is required.")
        if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= most:
            raise errors.invalid_request(
                f"{self.where}{name} must be an integer from {least} to {most}."
            )
        return number

    def optional_integer(self, name: str, least: int, most: int) -> int | None:
        return None if self._value.get(name) is None else self.integer(name, least, most)

    def one_of(self, name: str, known: tuple[str, ...]) -> str | None:
        """None when absent."""
        value = self._value.get(name)
        if value is not None and value not in known:
            raise errors.invalid_request(f"{self.where}{name} must be {' or '.join(known)}.")
        return value

    def time(self, name: str) -> datetime | None:
        """None when absent."""
        value = self._value.get(name)
        if value is None:
            return None
        return time_of(f"{self.where}{name}", value if isinstance(value, str) else "")

    def boolean(self, name: str) -> bool:
        """False when absent."""
        value = self._value.get(name)
        if value is not None and not isinstance(value, bool):
            raise errors.invalid_request(f"{self.where}{name} must be true or false.")
        return bool(value)

    def objects(self, name: str, most: int) -> list["Fields"]:
        """A list of 1 to `most` objects."""
        listed = self._value.get(name)
        if listed is None:
            raise errors.invalid_request(f"{self.where}{name} is required.")
        if not isinstance(listed, list) or not 1 <= len(listed) <= most:
            raise errors.invalid_request(
                f"{self.where}{name} must be a list of 1 to {most} objects."
            )
        if not all(isinstance(entry, dict) for entry in listed):
            raise errors.invalid_request(f"{self.where}{name} must hold objects only.")
        return [Fields(entry, f"{self.where}{name}[{n}].") for n, entry in enumerate(listed)]
