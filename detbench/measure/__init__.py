"""What a detector costs: GFLOPs, parameters, latency, and the device they were measured on."""
