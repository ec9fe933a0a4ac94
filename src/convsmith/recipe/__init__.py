"""Recipes: read, layered, validated all at once, and built. Importing this package costs nothing."""
