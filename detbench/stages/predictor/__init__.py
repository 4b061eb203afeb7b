"""``predictor``: both tasks' towers to raw outputs of every candidate."""

from detbench.stages.predictor.convolutions import Convolutions
from detbench.stages.predictor.predictions import Predictions, PredictorShape
from detbench.stages.predictor.refined import Refined

__all__ = ["Convolutions", "Predictions", "PredictorShape", "Refined"]
