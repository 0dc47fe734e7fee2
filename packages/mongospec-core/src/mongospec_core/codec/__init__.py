"""Values and documents to BSON and back."""
