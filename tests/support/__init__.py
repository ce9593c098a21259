"""What the tests stand on: driver, oracle, faults, broker, guards against leftovers."""
