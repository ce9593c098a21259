"""What every part needs of Kafka: clients, administration, topics as they should be."""
