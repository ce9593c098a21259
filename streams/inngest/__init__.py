"""Runs apps that are written for Inngest's SDKs: `docs/inngest.md`."""
