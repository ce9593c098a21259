"""Stage 1: events to commands. Stateless: it may be killed, repeated and doubled at any time."""
