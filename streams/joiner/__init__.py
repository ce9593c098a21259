"""Stage 2: commands in, state and outputs out, exactly once."""
