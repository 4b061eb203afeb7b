"""Tables and figures as pure functions of stored results. No torch."""
