"""What is trained, or run, beside a stage of an RoI detector: see ``detectors.stage.Extra``."""
