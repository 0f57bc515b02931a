"""What Aisle promises, tried from outside."""
