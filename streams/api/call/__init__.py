"""What every call goes through and stands on: keys, limits, audit trail, repeats, the writer."""
