"""``heads``: with which layers and parameters a task predicts.

An option for dense detectors is an ``nn.Module`` mapping one level's (B, C, H, W) to
(B, ``channels``, H, W), the same weights at every level; the prediction convolutions follow in
``detectors/dense.py``, because their width is the box code's and the candidates' business.

An option for RoI detectors maps pooled regions (K, C, s, s) to (K, ``channels``); K may be 0.
"""
