"""Backbones and necks: everything up to the feature pyramid both tasks read."""
