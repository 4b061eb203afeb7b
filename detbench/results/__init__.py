"""Measurements as rows, and the folder that keeps them. No torch."""
