"""Which cells of a table are missing, and their computation, each as a process of its own."""
