"""``sampling``: where a task looks.

For dense detectors an option says at which positions of a tower the convolution is deformable;
``Regular`` says at none. The tower itself is the heads stage's (``stages/heads/tower.py``).
"""
