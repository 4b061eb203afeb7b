"""Detections into COCO results, and COCO results into metrics."""
