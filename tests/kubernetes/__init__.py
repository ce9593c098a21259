"""The chart on a real Kubernetes of one node, upgraded, killed, scaled and drained under load."""
