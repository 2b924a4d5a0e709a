"""Everything that survives a restart: rows in a database, bytes in a blob store."""
