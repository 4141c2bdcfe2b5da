"""Probabilistic grammars: text whose entropy, validity and coverage are known exactly."""
