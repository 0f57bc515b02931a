"""Training and serving of one shop's models. Knows neither the backend nor connectors."""
