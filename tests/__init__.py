"""Everything that judges the project: tests, guards, simulation, chaos and benches."""
