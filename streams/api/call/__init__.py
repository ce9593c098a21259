"""What every call goes through and stands on: keys, limits, the audit trail, repeats, the writer."""
