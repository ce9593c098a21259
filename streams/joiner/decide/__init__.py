"""The joiner's decisions: pure functions of state and command, one file per command.

Everything here reads and writes one `View` and nothing else: no clock, no client, no disk.
"""
