"""The mathematics: paths, conversions, the denoiser and its loss. Nothing here knows how a network is run."""
