"""What a product says of itself, as vectors: text, images, and who is alike."""
