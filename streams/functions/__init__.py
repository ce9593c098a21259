"""Functions: read from files, compiled for matching, kept as versions in the topic `functions`.

`definition` and `compiled` are pure; `reader` and `writer` alone talk to Kafka, so nothing is
imported here that would bring a client along.
"""
