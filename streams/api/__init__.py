"""The REST API: writes requests and functions to Kafka, reads the SQL read model."""
