"""Commands that no notebook needs."""
