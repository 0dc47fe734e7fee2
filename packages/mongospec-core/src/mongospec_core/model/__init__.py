"""What a document is: its class, its binding, what is known of its stored copy."""
