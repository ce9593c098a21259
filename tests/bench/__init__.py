"""The benchmarks: `python -m tests.bench`. What each figure means stands in its module."""
