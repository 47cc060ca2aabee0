"""The rules of the pipeline as switches. The pipeline of ours keeps all; a mutant leaves one out.

RULES are the twelve of the design, some in parts; BUGS are one-line faults as others make them.
"""

RULES: dict[str, str] = {
    "1 fence": "the order, attempt and payment are read again before a confirm is sent",
    "1 save while live": "an intent is recorded only while its payment is live",
    "2 close never sent": "anyone may close an attempt that was never sent",
    "2 sent goes to the fence": "a sent attempt is never attached again, nor closed by an attach",
    "3 attach key": "each attempt attaches under a key of its own, the next one after a saved 5xx",
    "4 unknown ends by cancel": "an unknown outcome is made final by asking Stripe to cancel",
    "4 old key": "a key older than 23 hours is never sent again",
    "5 another card": "another card cancels the intent whose challenge is pending",
    "5 who is back waits": "an attempt takes another's place at its request's first claim only",
    "5 abandoned challenge": "recovery cancels the intent of a challenge that nobody answers",
    "6 challenge over": "a look closes an attempt whose challenge is over",
    "6 only from action": "and only one that waited for the challenge before the look was sent",
    "6 no action by look": "a look never turns an open attempt into one that waits",
    "7 negatives look last": "a negative fact is last checked against order and attempt",
    "8 only send": "429 means surely not executed only when it was the attempt's only send",
    "9 reconfirm key": "the confirm after a challenge has a key of its own, k+1 per challenge",
    "10 two steps": "an order is canceled only after Stripe said so",
    "10 busy": "an order with a sent attempt is not canceled",
    "10 next generation": "an intent that Stripe canceled retires its generation",
    "11 customer deleted": "a deleted customer is forgotten and its intent canceled",
    "11 compare and set": "only the customer that failed is forgotten",
    "12 success is the order's": "payments whose secret is out are looked at, whoever confirmed",
    "12 decline is the app's": "a decline of the app's own confirm closes none of our attempts",
    "13 a capture is not canceled": "an order whose capture is under way is not canceled",
}

BUGS: dict[str, str] = {
    "no compare-and-set": "the last created intent is recorded, and each request confirms its own",
    "fresh intent on unknown": "after an unknown outcome a new intent is created and confirmed",
    "fail from a webhook": "a payment_failed event closes the open attempt",
    "failed on timeout": "a lost answer is recorded and answered as a failure",
    "lease trusted": "an attempt whose lease is over is dropped without asking Stripe",
    "event by payload": "what an event says is applied, not what Stripe says now",
    "attach keyed by method": "one idempotency key per method and customer",
    "waiter looks at its attempt": "who waited for an attempt answers from it, paid order or not",
    "secret told by a look": "only a confirm's answer counts as giving the client secret out",
    "a clock ends a hold": "a hold whose time is over is dropped without asking Stripe",
    "a hold does not stand": "an order whose money is held is paid by whoever comes",
    "503 after an earlier send": "429 is answered as surely not executed, whatever was sent before",
}
