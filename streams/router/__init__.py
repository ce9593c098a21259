"""Stage 1 routes events as commands. It has no state: it may be killed or run twice at any time."""
