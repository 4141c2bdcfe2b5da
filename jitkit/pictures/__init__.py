"""Token images as files, and film strips of sampling trajectories."""
