"""The joiner's decisions. They read and write a `View` alone: no clock, no client, no disk."""
