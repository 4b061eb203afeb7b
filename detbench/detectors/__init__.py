"""Detectors: the skeletons, whose ``forward`` reads like the papers' figures."""
