"""The mathematics: paths, conversions, the denoiser and its loss."""
