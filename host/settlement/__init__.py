"""What is owed to whom, and the proof of it."""
