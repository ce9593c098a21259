"""What processes share of Kafka: consumers, producers, administration, topics, dead letters."""
