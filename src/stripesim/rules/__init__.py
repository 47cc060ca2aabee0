"""What Stripe's test mode knows by heart: cards and currencies."""
