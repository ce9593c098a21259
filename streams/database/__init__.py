"""The SQL database of the API: what was read from Kafka, and what only the API knows."""
