"""Performance analysis."""
