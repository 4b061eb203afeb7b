"""The papers' analyses: a kind is one file, listed in ``kinds``. No torch but in ``opened``."""
