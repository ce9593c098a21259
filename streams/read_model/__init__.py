"""The read model: runs, requests and their progress, copied from Kafka into the SQL database.

`rows` makes rows of records, `batch` gathers changes, `activity` counts those of runs, `copier`
says in which order all is read and written, `process` runs the copier, `rebuild` copies everything
again.
"""
