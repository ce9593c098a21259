"""A worker: claims runs, executes their functions, records their steps, tells how they ended.

It knows Kafka alone: `runs` says what there is to do and what became of it, `steps` holds the
outcomes of steps, `run-updates` tells of both. No module here imports the stream engine.
"""
