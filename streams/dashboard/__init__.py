"""The pages that the API serves at `/`: they call what the REST routes call, and nothing else."""

from streams.dashboard.install import install

__all__ = ["install"]
