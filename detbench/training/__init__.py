"""One training loop and what it needs: schedule, optimiser, seeds, checkpoints, weights."""
