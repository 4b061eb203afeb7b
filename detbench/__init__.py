"""detbench: reproduce, measure and extend detection ablation tables."""

__version__ = "0.1.0"
