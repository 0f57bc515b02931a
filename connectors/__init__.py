"""Shop platforms. Knows neither the backend nor ml."""
