"""What happens to an account that no longer has its maintenance margin."""
