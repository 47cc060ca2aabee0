"""The use cases.

`pay` is the pipeline and whatever else touches an order's money on its way in; `orders`, `cards`
and `money_back` stand above it and know nothing of one another; `hints` stands above all, since an
event may speak of any of them, and `erasure` beside it. What they share stands here: what every use
case works with (`context`), each call to Stripe (`requests`) and what its answer is worth
(`evidence`), the door through which an attempt is closed (`history`), what the merchant is told
(`notices`), the user's one customer (`customers`), who may try how often (`limits`), who works on
what (`leases`), the row that a refund begins with (`refunds`), and whether this database has
forgotten anything (`restore`, `gate`).
"""
