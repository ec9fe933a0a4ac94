"""Recipes: read, layered, validated all at once, and built."""
