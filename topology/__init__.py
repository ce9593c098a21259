"""What exists: topics, tables, records, keys, statuses and limits, as data without I/O."""
