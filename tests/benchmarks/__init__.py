"""Speed, measured as a user would meet it; `make bench`."""
