"""Plots, one per file: each draws plain numbers and knows neither store nor recipe. No torch.

Every ``draw`` returns a ``matplotlib.figure.Figure`` made without pyplot, for ``canvas.save``.
Series differ by colour (Okabe and Ito's, told apart by the colour-blind) and by marker, hatch or
line style too, so that they differ in black and white.
"""
