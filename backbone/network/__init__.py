"""What is measured: networks, their stages, and the modes in which they run."""
