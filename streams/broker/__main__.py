"""`python -m streams.broker`: fetch and train the local Kafka ahead of its first start."""

from streams.broker.prepare import prepare

if __name__ == "__main__":
    prepare()
