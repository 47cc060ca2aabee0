"""The hosted 3-D Secure page."""
