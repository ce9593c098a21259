"""The read model: runs, requests and their progress, copied from Kafka into the SQL database.

`rows` translates records, `batch` gathers what they change, `copier` says in which order they are
read and written, `process` runs it, `rebuild` starts anew.
"""
