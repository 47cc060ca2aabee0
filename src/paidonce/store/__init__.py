"""The only room that knows SQL: the engine, and one module of statements per group of tables."""
