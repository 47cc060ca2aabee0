"""The user's saved cards, from a SetupIntent or a payment to their end."""
