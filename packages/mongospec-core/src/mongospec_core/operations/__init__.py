"""What can be done with documents, one verb a module."""
