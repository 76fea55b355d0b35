"""What the reproductions of published studies share."""
