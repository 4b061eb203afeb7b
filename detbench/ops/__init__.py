"""Pure tensor functions: boxes, overlap, box coding, candidates, suppression."""
