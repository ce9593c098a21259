"""The repository tests itself: layout, imports, lengths, documents, packaging."""
