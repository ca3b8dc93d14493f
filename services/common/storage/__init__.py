"""SQL databases: engines, transactions, waiting for a database, recovering lost tables, consistency tokens."""
