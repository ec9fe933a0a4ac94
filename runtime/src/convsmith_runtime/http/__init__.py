"""A server for one bundle: FastAPI and uvicorn, no torch."""
