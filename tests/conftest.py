"""What all tests share. The servers and databases come from mongospec-testing's pytest plugin."""
