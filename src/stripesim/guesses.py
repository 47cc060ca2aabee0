"""Facts nobody has seen recorded. Every one is a guess: correct it here when Stripe shows better.

What is recorded, asserted against Stripe's test mode or written in its documentation stands with
the code that uses it; this file holds only what is inferred or remembered. Every entry has its
grade: [C] seen in other people's code and notes, [I] inferred from something that is known, [G] a
guess.
"""

# --- the wire ------------------------------------------------------------------------------------

# [C] The first half is recorded, up to the brackets; the rest is not.
BAD_ARRAY_KEYS = (
    "If passing an array with explicit keys (e.g. foo[0]=a&foo[1]=b), the keys must be consecutive "
    "integers starting at 0."
)
# [G] The code is documented, the text nobody wrote down.
RATE_LIMIT_MESSAGE = (
    "Request rate limit exceeded. You can learn more about rate limits here "
    "https://stripe.com/docs/rate-limits."
)
# [C] The first sentence; the end is a guess.
KEY_IN_USE_MESSAGE = (
    "There is currently another in-progress request using this Idempotent Key (that probably means "
    "you submitted twice, and the other request is still going through): {key}. Please try again "
    "later."
)
# [G] The limit is documented, the text is not.
KEY_TOO_LONG_MESSAGE = "Idempotency keys can have at most {longest} characters."
# [G] Limits of this simulator's own; what Stripe does beyond its own nobody wrote down.
TOO_MANY_PARAMETERS_MESSAGE = "Invalid request: too many parameters."
# [G]
NESTED_TOO_DEEPLY_MESSAGE = "Invalid object: {name} is nested too deeply."
# [G]
VALUE_AND_OBJECT_MESSAGE = "Invalid object: {name} is sent both as a value and as an object."
# [C]
TOO_DEEP_MESSAGE = "You cannot expand more than 4 levels of a property. Property: {path}"
# [C]
NOT_A_FORM_MESSAGE = (
    "Invalid request (check that your POST content type is application/x-www-form-urlencoded). If "
    "you have any questions, we can help at https://support.stripe.com/."
)

# [I] From `rak_subscription_read` (tylerjrichards/st-paywall#36): what a restricted key lacks.
WRITE_PERMISSION = "rak_{noun}_write"

# --- customers ------------------------------------------------------------------------------------

# [I] Refused for sure: no @, `name@com` (no dot in the domain), white space, other than ASCII's @.
EMAIL_PATTERN = "[^@\\s\uff20]+@[^@\\s\uff20]+\\.[^@\\s\uff20.]+"

# --- PaymentMethods ------------------------------------------------------------------------------

# [C] "Not a test card" may be refused at tokenisation or at the charge; here at tokenisation.
NOT_A_TEST_CARD_MESSAGE = (
    "Your card was declined. Your request was in test mode, but used a non test (live) card. For a "
    "list of valid test cards, visit: https://stripe.com/docs/testing."
)
# [C] Attaching a method that is dead: only the shape is recorded; the text is the shorter spelling.
ATTACH_DEAD_MESSAGE = (
    "This PaymentMethod was previously used without being attached to a Customer or was detached "
    "from a Customer, and may not be used again."
)
# [G] A method used with setup_future_usage and no customer can still be attached (documented);
# whether it can pay again before that is unknown. Here it cannot.
KEPT_METHOD_CAN_PAY_UNATTACHED = False
# [G] A method parked in an unfinished authentication belongs to that one PaymentIntent; another
# PaymentIntent gets the reuse error.
PARKED_METHOD_CAN_PAY_ELSEWHERE = False

# [G] A deleted customer is refused wherever a parameter names it; whether an intent that was made
# for it before can still be confirmed is unknown. Here it can.
DELETED_CUSTOMERS_INTENT_CAN_BE_CONFIRMED = True

# --- PaymentIntents ------------------------------------------------------------------------------

# [C]
AMOUNT_TOO_LARGE_MESSAGE = "Amount must be no more than {amount}"
# [G]
THREE_DECIMAL_MESSAGE = (
    "Invalid amount: {amount}. Amounts in {currency} must be rounded to the nearest ten, since "
    "three-decimal currencies are charged with two."
)
# [G]
STRICT_REQUIRES_ACTION_MESSAGE = (
    "You cannot confirm this {intent} with another payment method because it has a status of "
    "requires_action. Finish or cancel the pending authentication first."
)
# [C]
MANUAL_WITH_PUBLISHABLE_KEY_MESSAGE = (
    "This PaymentIntent with ID: {id} cannot be confirmed using your publishable key because its "
    "`confirmation_method` is set to `manual`. Please use your secret key instead, or create a "
    "PaymentIntent with `confirmation_method` set to `automatic`."
)
# [I]
ONLY_WITH_CONFIRM_MESSAGE = (
    "The parameter `{name}` cannot be passed when creating a {intent} unless `confirm` is set to "
    "true."
)
# [C]
BAD_METHOD_TYPE_MESSAGE = (
    "The payment method type provided: {type} is invalid. Please ensure the provided type is "
    "activated in your dashboard (https://dashboard.stripe.com/account/payments/settings) and your "
    "account is enabled for any preview features that you are trying to use."
)
# [G] The code is documented (changelog of 2026-09-30.endive), the text is not.
NO_METHOD_TYPES_MESSAGE = (
    "The parameter payment_method_types is no longer supported in this API version. Use "
    "allowed_payment_method_types instead."
)
# [C]
TYPES_AND_AUTOMATIC_MESSAGE = (
    "You may only specify one of these parameters: automatic_payment_methods, payment_method_types."
)
# [C]
WRONG_METHOD_TYPE_MESSAGE = (
    "The PaymentMethod provided ({type}) is not allowed for this {intent}. Please attach a "
    "PaymentMethod of one of the following types: {allowed}. Alternatively update the allowed "
    'payment_method_types for this {intent} to include "{type}".'
)
# [I] The first text is recorded after a capture in part (2026-08-26.dahlia), the other one was told
# of every second capture in 2022, and still of some in 2026-06; the day is that of multicapture.
REMAINDER_RELEASED_SINCE = "2023-10-16"
# [I] Two statuses that refusals to cancel list: absent in 2024, the first there in 2026-04, both in
# 2026-08.
CANCELABLE_SINCE = {"requires_reauthorization": "2026-03-25", "expired": "2026-07-01"}
# [G] The refusal is documented: an account without multicapture cannot keep the rest on hold.
NO_MULTICAPTURE_MESSAGE = (
    "This PaymentIntent does not support multiple captures, so `final_capture` cannot be false."
)
# [G]
NOT_INCREMENTABLE_MESSAGE = (
    "This PaymentIntent's authorization could not be incremented because it has a status of "
    "{status}. Only a PaymentIntent with one of the following statuses may be incremented: "
    "requires_capture."
)
# [G] Documented: the new amount has to be greater than the one held.
INCREMENT_TOO_SMALL_MESSAGE = (
    "The amount must be greater than the amount that is already authorized."
)
# [G] Documented: at most ten times.
TOO_MANY_INCREMENTS_MESSAGE = "This PaymentIntent was already incremented 10 times."
# [G] The refusal is asserted, without code and param; its text is not.
NO_CUSTOMER_BALANCE_MESSAGE = (
    "The customer balance cannot be applied to {id}: it is not a customer_balance payment."
)
# [G] The code is asserted, the text is not.
DESCRIPTOR_OF_CARD_MESSAGE = (
    "The statement_descriptor parameter is not supported for the payment method type card. Use "
    "statement_descriptor_suffix instead."
)
# [C] The first sentence is quoted in many places, the second is remembered.
DESCRIPTOR_LENGTH_MESSAGE = (
    "The statement descriptor must be at most {longest} characters. {text} is {length} characters "
    "long."
)
# [C] Quoted in a shop's code.
DESCRIPTOR_LETTER_MESSAGE = (
    "The statement descriptor must contain at least one alphabetic character."
)
# [G] The characters are documented.
DESCRIPTOR_CHARACTERS_MESSAGE = (
    "Statement descriptors cannot contain any of the following characters: < > \\ ' \" *"
)
# [G] Documented: amounts of isk and ugx have two decimals that are 00.
NO_DECIMALS_MESSAGE = (
    "Invalid amount: {amount}. Amounts in {currency} must be a multiple of 100, since it has no "
    "decimals."
)
# [I] The reasons that Stripe gives itself are listed by the SDK; which one is not.
EXPIRED_AUTHORIZATION_REASON = "automatic"
# [G] Documented is "a variable upper limit", after which the intent is canceled.
MOST_CONFIRMS = 100

# --- clients with the publishable key ------------------------------------------------------------

# [G] That a client cannot say these is documented, the answer is not.
SERVER_ONLY_MESSAGE = (
    "The parameter `{name}` cannot be passed with a publishable API key. Please use a secret API "
    "key instead."
)
# [G] The rule is the SDK's, the text is not.
CLIENT_USAGE_MESSAGE = (
    "With a publishable API key, `setup_future_usage` can only be updated from `on_session` to "
    "`off_session`."
)

# [I] The mobile SDKs expand this one; what a client does not see it cannot expand.
CLIENT_EXPANDS = ("payment_method",)

# [G] The rule is documented, the text is not.
EPHEMERAL_KEY_VERSION_MESSAGE = (
    "Please pass the API version of the mobile SDK in the `Stripe-Version` header to create an "
    "ephemeral key."
)
# [G] Keys for cards of Issuing and for Identity are not simulated.
EPHEMERAL_KEY_CUSTOMER_MESSAGE = "You must supply a customer to create an ephemeral key."
# [C] The code is documented.
EXPIRED_KEY_MESSAGE = "Expired API Key provided: {key}"
# [I] The SDK says that a session expires, the guides that its secret is short-lived.
CUSTOMER_SESSION_SECONDS = 30 * 60
# [G]
NO_COMPONENT_MESSAGE = "You must enable at least one of the components of a customer session."
# [G]
FEATURES_OF_DISABLED_MESSAGE = (
    "You cannot configure the features of `{component}` without enabling the component."
)
# [I] The code of a PaymentIntent's is asserted; the three texts are guesses.
CTOKEN_SPENT_MESSAGE = "The confirmation token {id} was already used."
# [G]
CTOKEN_EXPIRED_MESSAGE = "The confirmation token {id} has expired."
# [G] That the two have to agree is documented.
CTOKEN_USAGE_MESSAGE = (
    "The confirmation token's setup_future_usage ({token}) does not match the PaymentIntent's "
    "({intent})."
)

# [G] Giving up a challenge that is not pending.
NO_CHALLENGE_MESSAGE = "This {intent} has no authentication that could be canceled."

# --- SetupIntents --------------------------------------------------------------------------------

# [I] In the words of a PaymentIntent's refusal. An account of 2024 was told "A `return_url` must be
# specified because this Setup Intent is configured to …".
SETUP_NO_RETURN_URL_MESSAGE = (
    "This SetupIntent is configured to accept payment methods enabled in your Dashboard. Because "
    "some of these payment methods might redirect your customer off of your page, you must provide "
    "a `return_url`. If you don't want to accept redirect-based payment methods, set "
    "`automatic_payment_methods[enabled]` to `true` and "
    "`automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents and "
    "Payment Intents."
)
# [I] Probed at this version; older recordings show what was asked for.
USAGE_IGNORED_SINCE = "2026-08-26"
# [G] The rule is the SDK's, the text is not.
TO_SELF_AND_CUSTOMER_MESSAGE = (
    "You cannot set `attach_to_self` to true when setting up a PaymentMethod for a Customer."
)
# [G] SDK: single-use mandates are not for cards; the text is a guess.
SINGLE_USE_CARD_MESSAGE = "Single-use mandates are not supported for payment methods of type card."

# --- charges without a PaymentIntent -------------------------------------------------------------

# [G] The rule is documented (SDK, ChargeUpdateParams.customer), the text is not.
CHARGE_CUSTOMER_IS_FIXED_MESSAGE = "You cannot change the customer of a charge that has one."
# [G]
SOURCE_TYPE_MESSAGE = "Invalid source object: {type} is not supported here, only card."
# [C] The text is recorded, its status only in old notes.
LINKED_SOURCE_MISSING_STATUS = 404
# [C]
CHARGE_CAPTURE_TOO_MUCH_MESSAGE = (
    "You cannot capture a charge for an amount greater than it already has."
)
# [I] What the two networks say of a passed challenge; "07" is recorded of a payment without one.
AUTHENTICATED_INDICATORS = {"visa": "05", "mastercard": "02"}
# [G]
CHARGE_FAILED_MESSAGE = "Charge {id} has failed and cannot be captured."
# [G]
CHARGE_EXPIRED_MESSAGE = "Charge {id} has expired and can no longer be captured."

# --- refunds -------------------------------------------------------------------------------------

# [G] …7726: pending -> succeeded.
REFUND_SETTLES_AFTER_SECONDS = 5
# [G] …5126: succeeded -> failed.
REFUND_FAILS_AFTER_SECONDS = 5
# [I] A refund 5 to 7 s old failed when its charge was charged back, one of 300 s did not.
REFUND_IS_ON_ITS_WAY_SECONDS = 60
# [C]
NO_TRANSFER_MESSAGE = (
    "Cannot reverse transfer on charge {id} because it does not have an associated transfer."
)
# [G]
NO_APPLICATION_FEE_MESSAGE = (
    "Cannot refund the application fee of charge {id} because it does not have an application fee."
)
# [G] Of a charge without a PaymentIntent.
REFUND_OF_FAILED_CHARGE_MESSAGE = "Charge {id} has failed and cannot be refunded."
# [G] The refusal is asserted, without code and param; its text is not.
REFUND_NOT_EXPIRABLE_MESSAGE = (
    "This refund cannot be expired because it has a status of {status}. Only a refund that requires"
    " an action may be expired."
)

# --- disputes ------------------------------------------------------------------------------------

# [I] Seen between 4 and 8 s after evidence was sent.
DISPUTE_DECIDED_AFTER_SECONDS = 5
# [C] An inquiry that no bank makes a chargeback of ends after 120 days.
INQUIRY_ENDS_AFTER_SECONDS = 120 * 24 * 3600
# [I] A fraudulent chargeback has it from the start.
ESCALATED_REASON_CODE = "10.4"

# --- balance -------------------------------------------------------------------------------------

# [I] With `--async-balance`; recorded as "not yet in the answer, there some seconds later".
BALANCE_LANDS_AFTER_SECONDS = 2

# --- tokens --------------------------------------------------------------------------------------

# [C]
TOKEN_USED_MESSAGE = "You cannot use a Stripe token more than once: {id}."  # noqa: S105

# --- search --------------------------------------------------------------------------------------

# [C] From when to when a change begins to be found, in seconds. Measured for customers (16 to 20)
# and PaymentIntents (more than two minutes), results flapping meanwhile; the rest is a guess.
SEARCH_LAGS = {"customer": (16, 20), "payment_intent": (120, 150), "charge": (45, 60)}
# [C] The two refusals that stripe-ruby-mock's tests, which also run against Stripe, expect.
SEARCH_UNPARSABLE_MESSAGE = (
    'We were unable to parse your search query. Try using the format `metadata["key"]:"value"` to '
    'query for metadata or key:"value" to query for other fields.'
)
# [C]
SEARCH_FIELD_MESSAGE = (
    "Field `{field}` is an unsupported search field for resource `{resource}`. See "
    "http://stripe.com/docs/search#query-fields-for-{anchor} for a list of supported fields."
)
# [G] These rules are documented, the words are not.
SEARCH_MIXED_MESSAGE = "You cannot combine AND and OR in the same search query."
# [G]
SEARCH_TOO_MANY_MESSAGE = "You can combine up to 10 query clauses in a search query."
# [G]
SEARCH_OPERATOR_MESSAGE = "Operator `{operator}` is not supported for field `{field}`."
# [G]
SEARCH_SHORT_MESSAGE = "Substring matches need at least 3 characters."
# [G]
SEARCH_VERSION_MESSAGE = "Search needs API version 2020-08-27 or later."
# [G]
SEARCH_PAGE_MESSAGE = "Invalid page: use the next_page of an earlier answer to the same query."

# --- versions ------------------------------------------------------------------------------------

# [I]
PAYMENT_RECORD_SINCE = "2026-07-01"
# [I] last_payment_error.payment_method_type
ERROR_METHOD_TYPE_SINCE = "2026-07-01"
# [I] `email`, `phone` and `allow_redisplay` of a `card_…`: between 2024-08-28 and 2025-10-14.
CARD_CONTACT_SINCE = "2025-02-24"
# [I] `amount_updates` of a charge depends on the account: at 2023-10-16 those of antiwork/gumroad
# have it and those of spree_stripe do not; at the versions around it no recorded account does.
AMOUNT_UPDATES_SINCE = "2023-10-16"
# [I] A charge's own indicator: absent at 2026-03-25, there at 2026-08-26.
COMMERCE_INDICATOR_SINCE = "2026-07-01"
# [I]
AMOUNT_UPDATES_UNTIL = "2024-04-10"
# [I] Of an error: between 2025-03-26 and 2025-10-22.
NETWORK_CODES_SINCE = "2025-05-28"
# [I] Recorded until 2026-08, unknown to SDK 16.1.0.
SHARED_TOKEN_UNTIL = "2026-10-28"  # noqa: S105
# [I] `request_log_url` of errors; absent until 2021-09, recorded since 2023-08.
LOG_URL_SINCE = "2022-08-01"
# [I] `count` on the lists of refunds and disputes; recorded in 2026-09.
LIST_COUNT_SINCE = "2026-07-01"
# [I] `submission_method` of a dispute's evidence_details; in SDK 16.1.0, not recorded in 2026-09.
SUBMISSION_METHOD_SINCE = "2026-10-28"
