"""Where everything lives: SQLite, one transaction per request."""
