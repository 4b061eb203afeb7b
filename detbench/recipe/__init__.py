"""The recipe language: what a detector, a table, a schedule and a profile are. No torch."""
