"""The use cases.

`pay` is the pipeline and whatever else touches an order's money on its way in; `orders`, `cards`
and `money_back` stand above it and know nothing of one another; `hints` stands above all, since an
event may speak of any of them. What they share stands here: what every use case works with
(`context`), each call to Stripe (`requests`) and what its answer is worth (`evidence`), the door
through which an attempt is closed (`history`), what the merchant is told (`notices`), the user's
one customer (`customers`).
"""
