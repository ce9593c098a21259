"""Functions: read from files, compiled for matching, kept as versions in the topic `functions`.

Only `reader` and `writer` talk to Kafka. Nothing is imported here, so that the other modules can be
imported without a Kafka client.
"""
