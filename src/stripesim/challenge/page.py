"""What the card holder sees: plain HTML, no JavaScript, for a phone, in light and dark."""

from dataclasses import dataclass
from html import escape
from typing import Any, Self

from stripesim.rules.currencies import major

Json = dict[str, Any]
BRANDS = {"amex": "American Express", "jcb": "JCB", "unionpay": "UnionPay"}
STYLE = """
:root { color-scheme: light dark; --bg: #f5f6f8; --card: #ffffff; --text: #1b2330;
  --muted: #5b6675; --line: #dde2e8; --go: #0a6c46; --go-text: #ffffff; --stop: #a3242b; }
@media (prefers-color-scheme: dark) { :root { --bg: #12161c; --card: #1c222b; --text: #eef1f5;
  --muted: #a3adba; --line: #333c48; --go: #3ecf8e; --go-text: #06251a; --stop: #ff8a8f; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: flex; align-items: center; justify-content: center;
  padding: 16px; background: var(--bg); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { width: 100%; max-width: 420px; background: var(--card); border: 1px solid var(--line);
  border-radius: 14px; padding: 24px; }
h1 { font-size: 1.25rem; line-height: 1.3; margin: 0 0 4px; }
p { margin: 0 0 16px; color: var(--muted); }
dl { display: grid; grid-template-columns: auto 1fr; gap: 8px 16px; margin: 0 0 24px;
  padding: 16px 0; border-top: 1px solid var(--line); border-bottom: 1px solid var(--line); }
dt { color: var(--muted); } dd { margin: 0; text-align: right; font-variant-numeric: tabular-nums;
  overflow-wrap: anywhere; }
form { margin: 0 0 12px; }
button { width: 100%; min-height: 52px; border-radius: 10px; font: inherit; font-weight: 600;
  cursor: pointer; border: 1px solid transparent; background: var(--go); color: var(--go-text); }
button.stop { background: transparent; border-color: var(--stop); color: var(--stop); }
button:focus-visible { outline: 3px solid var(--text); outline-offset: 2px; }
small { display: block; margin-top: 16px; color: var(--muted); }
"""


@dataclass(frozen=True)
class Words:
    """How the page speaks of a payment, or of a card that is saved without one."""

    noun: str
    title: str
    question: str

    @classmethod
    def of(cls, intent: Json) -> Self:
        if intent["object"] == "setup_intent":
            return cls("Card", "Confirm your card", "it is you who saves this card")
        return cls("Payment", "Confirm your payment", "it is you who pays")


def challenge_page(intent: Json, method: Json, complete_url: str, fail_url: str) -> str:
    """The two buttons. Each is the only one of its form; both post to addresses of their own."""
    words = Words.of(intent)
    card = method["card"]
    return _page(
        words.title,
        f"""<h1>{words.title}</h1>
<p>Your bank asks you to confirm that {words.question}.</p>
<dl>
{_amount(intent)}<dt>Card</dt><dd>{_brand(card["display_brand"])} ending in {card["last4"]}</dd>
</dl>
<form method="post" action="{escape(complete_url)}">
<button type="submit">Complete authentication</button>
</form>
<form method="post" action="{escape(fail_url)}">
<button type="submit" class="stop">Fail authentication</button>
</form>
<small>A test page of stripesim. No bank is asked and no money moves.</small>""",
    )


def _amount(intent: Json) -> str:
    if "amount" not in intent:
        return ""
    amount, currency = escape(major(intent["amount"], intent["currency"])), intent["currency"]
    return f"<dt>Amount</dt><dd>{amount} {escape(currency.upper())}</dd>\n"


def _brand(name: str) -> str:
    """As card holders know it."""
    return escape(BRANDS.get(name, name.replace("_", " ").title()))


def message_page(title: str, text: str) -> str:
    """A page without buttons: a result, or that there is nothing to do."""
    return _page(title, f"<h1>{escape(title)}</h1>\n<p>{escape(text)}</p>")


def _page(title: str, body: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""
